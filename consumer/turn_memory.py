"""What the table `turn_states` holds, in dictionaries: for folds that keep no tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from consumer.fold import Fold, TurnSets
from consumer.ledger import Ledger
from consumer.sessions import TurnKey, Voided

_TIME_SHIFT = 80  # a UUIDv7 begins with 48 bits of milliseconds


class TurnMemory:
    """Sets and ledgers by turn; the steps of a fold are those of `consumer.writer`."""

    def __init__(self) -> None:
        self._counted: dict[tuple[int, int], int] = {}
        self._ledgers: dict[tuple[int, int], bytes] = {}

    def __eq__(self, other: object) -> bool:
        """True for the same sets, and ledgers that say the same."""
        if not isinstance(other, TurnMemory):
            return NotImplemented
        return self._counted == other._counted and self._read() == other._read()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __len__(self) -> int:
        return len(self._counted)

    def _read(self) -> dict[tuple[int, int], Ledger]:
        return {turn: Ledger.read(data) for turn, data in self._ledgers.items()}

    def counted(self, turns: TurnSets) -> NDArray[np.int64]:
        """For each turn the set of facts already counted; 0 for a turn not seen before."""
        known = self._counted
        return np.array([known.get(turn, 0) for turn in _ids(turns)], dtype=np.int64)

    def ledgers(self, turns: TurnSets, places: Sequence[int]) -> dict[int, bytes]:
        """The ledgers of some turns, given and returned by index; b"" where there is none."""
        if not places:
            return {}
        ids = _ids(turns)
        return {place: self._ledgers.get(ids[place], b"") for place in places}

    def voided(self, turns: Iterable[TurnKey]) -> Voided:
        """The outcomes of these turns that are void."""
        return {turn: self.ledger(turn).voided for turn in turns}

    def ledger(self, turn: TurnKey) -> Ledger:
        """The ledger of one turn."""
        key = turn.partition, int.from_bytes(turn.turn_id, "big")
        return Ledger.read(self._ledgers.get(key, b""))

    def save(self, turns: TurnSets, folded: Fold) -> None:
        """Take over the sets and ledgers that a batch has changed."""
        ids = _ids(turns)
        self._counted |= zip(ids, folded.counted.tolist(), strict=True)
        for place, entries in enumerate(folded.entries.to_list()):
            if entries:
                self._ledgers[ids[place]] = self._ledgers.get(ids[place], b"") + entries
        self._ledgers |= {ids[place]: ledger for place, ledger in folded.ledgers.items()}

    def forget(self, before_ms: int) -> None:
        """Drop turns older than `before_ms`."""
        bound = max(before_ms, 0) << _TIME_SHIFT
        for kept in (self._counted, self._ledgers):
            for turn in [turn for turn in kept if turn[1] < bound]:
                del kept[turn]


def _ids(turns: TurnSets) -> list[tuple[int, int]]:
    halves = zip(turns.hi.tolist(), turns.lo.tolist(), strict=True)
    ids = (hi << 64 | lo for hi, lo in halves)
    return list(zip(turns.partition.tolist(), ids, strict=True))
