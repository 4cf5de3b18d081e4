"""Retraction and correction: an outcome may void an earlier one of its turn. Pure.

What counts of a turn is, of each metric, what was reported first by an outcome that is not void. So
a void takes back exactly what the voided outcome has added: the same facts with the same values,
from the same cells, at the same weights. In their place counts what the voiding outcome reports,
else what another had reported meanwhile and was not counted for having come second: until then it
waits in the turn's ledger. The evidence is what it would be had the voided outcome never come.

What is void stays void. A voided outcome counts nothing when it comes again, nor when it comes only
now, its void having overtaken it; and it stays void when its void is voided in turn. An outcome
that comes again changes nothing, before a void and after it.

Turns with a void, or with an outcome that came second, are few; they are settled here event by
event. The others need no ledger to be read: a bit in their set of counted facts tells them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.facts import Cell, Facts
from consumer.ledger import Fact, Ledger, Record, tag_of, tags_of_router
from consumer.sums import Changes

# Not the code of any metric: marks a turn of which an outcome has been voided.
VOIDED_CODE: Final = 23
VOIDED: Final = 1 << VOIDED_CODE
# Outcomes of one turn that may have facts waiting. A client may send outcomes without end.
MAX_WAITING: Final = 16
# Stands for an outcome's id where a later message has spoken about the turn: it does so once.
REACTION: Final = b"\xff" * 16

_ADD: Final = 1
_TAKE_BACK: Final = -1


class Settled(NamedTuple):
    """What becomes of the turns that are settled here. They are given as in TurnSets, by index."""

    cells: Sequence[Cell]  # those of the batch, and behind them others that gain or lose facts
    changes: Changes
    changed_by: NDArray[np.int64]  # the events that added something or took something back
    counted: Mapping[int, int]
    ledgers: Mapping[int, bytes]  # those that have changed


def turns_with_voids(
    facts: Facts, turn_of_event: NDArray[np.int64], counted: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """The turns of which something is void, or will be by this batch."""
    marked: NDArray[np.bool_] = (counted & VOIDED) != 0
    if facts.voids:
        marked[turn_of_event[np.isin(facts.events.row, list(facts.voids))]] = True
    return marked


def settle(
    facts: Facts,
    turn_of_event: NDArray[np.int64],
    counted: NDArray[np.int64],
    ledgers: Mapping[int, bytes],
    late: NDArray[np.bool_],
) -> Settled:
    """Apply the events of the turns that `ledgers` names, in log order."""
    turns = {turn: _Turn(int(counted[turn]), Ledger.read(ledgers[turn])) for turn in ledgers}
    cells = _CellIndex(facts.cells)
    changes: list[tuple[int, int, int, int, int]] = []
    changed_by: list[int] = []
    for event in _events_of(turns, turn_of_event, late):
        report = _report(facts, event)
        taken, added = turns[int(turn_of_event[event])].apply(report)
        time_ms = int(facts.events.turn_time_ms[event])
        for sign, its_facts in ((_TAKE_BACK, taken), (_ADD, added)):
            for tag, code, fixed in its_facts:
                changes.append((cells.of(tag, report.cell), code, fixed, time_ms, sign))
        if taken or added:
            changed_by.append(event)
    columns = np.array(changes, dtype=np.int64).reshape(-1, len(Changes._fields)).T
    return Settled(
        cells=cells.known,
        changes=Changes(*columns),
        changed_by=np.array(changed_by, dtype=np.int64),
        counted={index: turn.counted for index, turn in turns.items()},
        ledgers={
            index: data
            for index, turn in turns.items()
            if (data := turn.ledger.to_bytes()) != ledgers[index]
        },
    )


def _events_of(
    turns: Iterable[int], turn_of_event: NDArray[np.int64], late: NDArray[np.bool_]
) -> list[int]:
    return np.flatnonzero(np.isin(turn_of_event, list(turns)) & ~late).tolist()


class _Report(NamedTuple):
    """An event as its turn sees it."""

    cell: Cell
    outcome_id: bytes | None  # None for the turn itself
    voids: bytes | None
    facts: Sequence[Fact]


def _report(facts: Facts, event: int) -> _Report:
    row = int(facts.events.row[event])
    cell = facts.cells[int(facts.events.cell[event])]
    its_facts = slice(*np.searchsorted(facts.event, [event, event + 1]).tolist())
    values = zip(facts.code[its_facts].tolist(), facts.fixed[its_facts].tolist(), strict=True)
    said = [Fact(tag_of(cell), code, fixed) for code, fixed in values]
    if facts.events.credit[event]:
        return _Report(cell, REACTION, None, said)
    outcome = int(facts.outcomes[row])
    if outcome < 0:
        return _Report(cell, None, None, said)
    return _Report(cell, facts.outcome_ids[outcome].tobytes(), facts.voids.get(row), said)


@dataclass(slots=True)
class _Turn:
    counted: int
    ledger: Ledger

    def apply(self, report: _Report) -> tuple[Sequence[Fact], Sequence[Fact]]:
        """The facts that an event takes back, and those that it adds."""
        place, taken = len(self.ledger.records), list[Fact]()
        if report.voids is not None:
            place, taken = self._void(report.voids, report.cell)
        added = self._add(report, place)
        for fact in taken:
            added += self._let_in(fact.code)
        return taken, added

    def _void(self, outcome_id: bytes, by: Cell) -> tuple[int, list[Fact]]:
        """The place that an outcome had among the others, and what it had added."""
        records = self.ledger.records
        record = records.get(outcome_id, Record())
        known = tags_of_router(by.router)
        facts = [*record.counted.values(), *record.waiting.values()]
        if outcome_id == REACTION or not all(fact.cell in known for fact in facts):
            return len(records), []  # of another router: not the outcome that was meant
        place = list(records).index(outcome_id) if outcome_id in records else len(records)
        records.pop(outcome_id, None)
        self.ledger.voided.add(outcome_id)
        self.counted |= VOIDED
        for code in record.counted:
            self.counted &= ~(1 << code)
        return place, list(record.counted.values())

    def _add(self, report: _Report, place: int) -> list[Fact]:
        """Count what is free; keep the rest, if the outcome is new. It stands at its place."""
        records, own = self.ledger.records, report.outcome_id
        if own in self.ledger.voided:
            return []
        record = records[own] if own in records else Record()
        may_wait = own is not None and own not in records and self._waiting() < MAX_WAITING
        added: list[Fact] = []
        for fact in report.facts:
            if record.says(fact.code):
                continue
            if self._count(fact.code):
                record.counted[fact.code] = fact
                added.append(fact)
            elif may_wait:
                record.waiting[fact.code] = fact
        if own is not None and own not in records and (record.counted or record.waiting):
            items = list(records.items())
            self.ledger.records = dict([*items[:place], (own, record), *items[place:]])
        return added

    def _count(self, code: int) -> bool:
        """Mark a metric as counted; False if it was already."""
        is_free = not self.counted >> code & 1
        self.counted |= 1 << code
        return is_free

    def _let_in(self, code: int) -> list[Fact]:
        """The first of the facts that waited for a metric to be free again."""
        for record in self.ledger.records.values():
            if code in record.waiting and self._count(code):
                record.counted[code] = record.waiting.pop(code)
                return [record.counted[code]]
        return []

    def _waiting(self) -> int:
        return sum(bool(record.waiting) for record in self.ledger.records.values())


class _CellIndex:
    """The batch's cells, and others of their routers."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.known = list(cells)
        self._index = {(cell.partition, tag_of(cell)): at for at, cell in enumerate(cells)}

    def of(self, tag: int, beside: Cell) -> int:
        """Index of a cell of the same partition and router as `beside`."""
        key = (beside.partition, tag)
        if key not in self._index:
            request_type, arm = tags_of_router(beside.router)[tag]
            self._index[key] = len(self.known)
            self.known.append(beside._replace(request_type=request_type, arm=arm))
        return self._index[key]
