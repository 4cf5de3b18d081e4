"""Where in the log the live tables and a rebuild part. Pure, but for the fold it drives.

Of the past the live tables keep nothing but sums, so what can be said of an evidence row is this:

- Where its live sums are those of a rebuild up to some event, they part there, exactly: the live
  tables lack that event and those behind it.
- Else no offset before the row's first event can have made the difference.

The search follows the number of facts, which grows but where an outcome is voided: of rows that
have lost facts so, the offset found may be that of a later event, or of the row's first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from consumer.fold import ShareKey
from consumer.rebuild.state import Evaluated, PartitionFold
from consumer.records import Batch
from schemas.evidence import ZERO, SeriesKey, Sums

Row = tuple[ShareKey, SeriesKey]


class Parting(NamedTuple):
    """`first` is the offset of the first event that adds to the row; `exact` that of the first one
    the live sums lack, where they are what a rebuild had before it."""

    first: int
    exact: int | None

    @property
    def offset(self) -> int:
        return self.first if self.exact is None else self.exact


class Search:
    """Folds a partition anew until every wanted row's parting is known.

    `live` holds the live sums of each wanted row, ZERO for one that the live tables lack.
    """

    def __init__(self, state: PartitionFold, live: Mapping[Row, Sums]) -> None:
        self._state = state
        self._live = live
        self._sums = dict.fromkeys(live, ZERO)
        self._first: dict[Row, int] = {}
        self._passed: dict[Row, int | None] = {}

    @property
    def is_over(self) -> bool:
        """True when nothing further in the log can change what was found."""
        return len(self._passed) == len(self._live)

    def found(self) -> dict[Row, Parting]:
        """The parting of every wanted row that any event adds to."""
        return {row: Parting(first, self._passed.get(row)) for row, first in self._first.items()}

    def fold(self, batch: Batch) -> None:
        """Go on with the records that follow."""
        for piece in self._state.pieces(batch):
            self._fold(piece)
        self._state.pass_over(batch)

    def _fold(self, batch: Batch) -> None:
        found = self._state.evaluate(batch)
        added = self._added(found)
        if len(batch) > 1 and any(self._tells(row, more) for row, more in added.items()):
            middle = len(batch) // 2
            self._fold(batch[:middle])
            self._fold(batch[middle:])
            return
        for row, more in added.items():
            self._note(row, more, int(batch.offset[0]))
        self._state.apply(batch, found)

    def _added(self, found: Evaluated) -> dict[Row, Sums]:
        evidence = found.fold.evidence
        return {
            (share, series): evidence[share][series]
            for share, series in self._live
            if share in evidence and series in evidence[share]
        }

    def _tells(self, row: Row, more: Sums) -> bool:
        """True where the event that matters for a row may be among several."""
        before = self._sums[row]
        return row not in self._first or (
            row not in self._passed and before.n <= self._live[row].n < before.n + more.n
        )

    def _note(self, row: Row, more: Sums, offset: int) -> None:
        before = self._sums[row]
        self._sums[row] = before.plus(more)
        self._first.setdefault(row, offset)
        if row not in self._passed and before.n <= self._live[row].n < before.n + more.n:
            self._passed[row] = offset if before == self._live[row] else None
