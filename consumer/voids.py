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

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.cells import Cell
from consumer.facts import Facts
from consumer.ledger import Fact, Ledger, Record, outcome_ids, tag_of, tags_of_router
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
    second: NDArray[np.bool_],
) -> Settled:
    """Apply the events of the turns that `ledgers` names, in log order, but for turns of which it
    turns out that outcomes merely came again. `second` are the events that bring something that is
    counted already."""
    cells = _CellIndex(facts.cells)
    turns: dict[int, _Turn] = {}
    changes: list[tuple[int, int, int, int, int]] = []
    changed_by: list[int] = []
    reports = _reports(facts, turn_of_event, ledgers, late, second)
    for index, its_reports in reports.items():
        if not int(counted[index]) & VOIDED and _only_repeats(its_reports, ledgers[index]):
            continue
        turn = turns[index] = _Turn(int(counted[index]), Ledger.read(ledgers[index]))
        for report in its_reports:
            taken, added = turn.apply(report)
            time_ms = int(facts.events.turn_time_ms[report.event])
            for sign, its_facts in ((_TAKE_BACK, taken), (_ADD, added)):
                for tag, code, fixed in its_facts:
                    changes.append((cells.of(tag, report.cell), code, fixed, time_ms, sign))
            if taken or added:
                changed_by.append(report.event)
    columns = np.array(changes, dtype=np.int64).reshape(-1, len(Changes._fields)).T
    return Settled(
        cells=cells.known,
        changes=Changes(*columns),
        changed_by=np.array(changed_by, dtype=np.int64),
        counted={index: turn.counted for index, turn in turns.items()},
        ledgers={
            index: data
            for index, turn in turns.items()
            if (data := turn.ledger_bytes()) != ledgers[index]
        },
    )


class _Report(NamedTuple):
    """An event as its turn sees it."""

    event: int
    cell: Cell
    tag: int
    outcome_id: bytes | None  # None for the turn itself
    voids: bytes | None
    second: bool
    said: Sequence[tuple[int, int]]  # code and value


def _reports(
    facts: Facts,
    turn_of_event: NDArray[np.int64],
    turns: Collection[int],
    late: NDArray[np.bool_],
    second: NDArray[np.bool_],
) -> dict[int, list[_Report]]:
    """The events of some turns that are not late, by turn."""
    if not turns:
        return {}
    events = np.flatnonzero(np.isin(turn_of_event, list(turns)) & ~late)
    rows = facts.events.row[events]
    tags = [tag_of(cell) for cell in facts.cells]
    codes, values = facts.code.tolist(), facts.fixed.tolist()
    found: dict[int, list[_Report]] = {}
    for event, row, turn, cell, outcome_at, is_credit, is_second, start, end in zip(
        events.tolist(),
        rows.tolist(),
        turn_of_event[events].tolist(),
        facts.events.cell[events].tolist(),
        facts.outcomes[rows].tolist(),
        facts.events.credit[events].tolist(),
        second[events].tolist(),
        np.searchsorted(facts.event, events, side="left").tolist(),
        np.searchsorted(facts.event, events, side="right").tolist(),
        strict=True,
    ):
        own = facts.outcome_ids[outcome_at].tobytes() if outcome_at >= 0 else None
        report = _Report(
            event=event,
            cell=facts.cells[cell],
            tag=tags[cell],
            outcome_id=REACTION if is_credit else own,
            voids=facts.voids.get(row) if own is not None else None,
            second=is_second,
            said=list(zip(codes[start:end], values[start:end], strict=True)),
        )
        found.setdefault(turn, []).append(report)
    return found


def _only_repeats(reports: Sequence[_Report], ledger: bytes) -> bool:
    """Whether all that came second came from outcomes that are known, and nothing is voided."""
    known = outcome_ids(ledger)
    for report in reports:
        if report.voids is not None or (report.second and report.outcome_id not in known):
            return False
        if report.outcome_id is not None:
            known.add(report.outcome_id)
    return True


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

    def ledger_bytes(self) -> bytes:
        """Without what a reaction has added: nothing voids that, and of a turn that was not settled
        it is not kept either."""
        if REACTION in self.ledger.records:
            self.ledger.records[REACTION].counted.clear()
        return self.ledger.to_bytes()

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
        for code, fixed in report.said:
            if record.says(code):
                continue
            if self._count(code):
                record.counted[code] = Fact(report.tag, code, fixed)
                added.append(record.counted[code])
            elif may_wait:
                record.waiting[code] = Fact(report.tag, code, fixed)
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
