"""The fold: facts, and what is already counted, to exact sums. Pure; reads no clock.

A fact counts once. Each turn keeps a set of the facts already counted, one bit a metric, which only
grows; an event that brings no new bit is a duplicate, whatever its id. Facts about a turn whose
attribution window has passed, measured by the latest event time seen in the partition, are refused:
beyond it the sets are not kept. Both rules depend on the order of the log alone, so any batching
and any replay give the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.facts import Cell, Events, Facts
from schemas.evidence import (
    HALF_LIVES_PER_ERA,
    PACES,
    POW2,
    TICKS_PER_HALF_LIFE,
    UNIT_WEIGHT,
    Pace,
    SeriesKey,
    Sums,
)
from schemas.metrics import MAX_CODE

# Sums of a batch are held in 64 bits: weight < 2^17, value < 2^31, so 2^14 facts of one row fit,
# and an event brings a metric once.
MAX_BATCH_EVENTS: Final = 1 << 14
_LIMB: Final = 31
_POW2: Final = np.array(POW2, dtype=np.int64)


class ShareKey(NamedTuple):
    """What a snapshot is about: one partition's share of one (router, request type)."""

    partition: int
    router: str
    request_type: str


@dataclass(slots=True)
class Counts:
    """Events by what became of them, and the latest turn time among the folded."""

    folded: int = 0
    duplicates: int = 0
    late: int = 0
    as_of_ms: int = 0

    def add(self, other: Counts) -> None:
        self.folded += other.folded
        self.duplicates += other.duplicates
        self.late += other.late
        self.as_of_ms = max(self.as_of_ms, other.as_of_ms)


@dataclass(frozen=True, slots=True)
class TurnSets:
    """The distinct turns of a batch, and for each the set of facts counted before it."""

    partition: NDArray[np.int64]
    hi: NDArray[np.uint64]
    lo: NDArray[np.uint64]
    of_event: NDArray[np.int64]  # index of each event's turn

    def __len__(self) -> int:
        return len(self.partition)


@dataclass(frozen=True, slots=True)
class Fold:
    """What a batch adds. Applying it is addition, but for `counted`, which replaces."""

    evidence: Mapping[ShareKey, Mapping[SeriesKey, Sums]]
    counts: Mapping[ShareKey, Counts]
    counted: NDArray[np.int64]  # per turn of TurnSets: the set after the batch
    stream_time_ms: Mapping[int, int]


def turns_of(events: Events) -> TurnSets:
    """The distinct turns of a batch."""
    index: dict[tuple[int, int, int], int] = {}
    keys = zip(
        events.partition.tolist(), events.turn_hi.tolist(), events.turn_lo.tolist(), strict=True
    )
    of_event = [index.setdefault(key, len(index)) for key in keys]
    partition, hi, lo = zip(*index, strict=True) if index else ((), (), ())
    return TurnSets(
        np.array(partition, dtype=np.int64),
        np.array(hi, dtype=np.uint64),
        np.array(lo, dtype=np.uint64),
        np.array(of_event, dtype=np.int64),
    )


def fold(
    facts: Facts, turns: TurnSets, counted: NDArray[np.int64], stream_time_ms: Mapping[int, int]
) -> Fold:
    """Fold a batch of at most MAX_BATCH_EVENTS events.

    `counted` holds each turn's set before the batch (0: none), `stream_time_ms` each partition's
    latest event time before the batch.
    """
    events = np.count_nonzero(~facts.events.credit)
    if events > MAX_BATCH_EVENTS:
        raise ValueError(f"a batch holds at most {MAX_BATCH_EVENTS} events, got {events}")
    late, after = late_events(facts, stream_time_ms)
    new = _new_facts(facts, turns, counted, late)
    counted_after = counted.copy()
    turn_of_fact = turns.of_event[facts.event]
    np.bitwise_or.at(counted_after, turn_of_fact[new], np.int64(1) << facts.code[new])
    return Fold(
        evidence=_sums(facts, new),
        counts=_counts(facts, new, late),
        counted=counted_after,
        stream_time_ms=after,
    )


def _stream_times(
    events: Events, before: Mapping[int, int]
) -> tuple[NDArray[np.int64], dict[int, int]]:
    """The stream time as each event sees it, itself included, and each partition's last one."""
    seen_at = np.empty(len(events.row), dtype=np.int64)
    after = dict(before)
    for partition in np.unique(events.partition).tolist():
        of_partition = np.flatnonzero(events.partition == partition)
        running = np.maximum.accumulate(events.occurred_at[of_partition])
        seen_at[of_partition] = np.maximum(running, before.get(partition, 0))
        after[partition] = int(seen_at[of_partition[-1]])
    return seen_at, after


def late_events(
    facts: Facts, stream_time_ms: Mapping[int, int]
) -> tuple[NDArray[np.bool_], dict[int, int]]:
    """Which events come after their turn's window, and each partition's stream time after them."""
    seen_at, after = _stream_times(facts.events, stream_time_ms)
    window = np.array([cell.router.window_ms for cell in facts.cells], dtype=np.int64)
    return facts.events.turn_time_ms < seen_at - window[facts.events.cell], after


def _new_facts(
    facts: Facts, turns: TurnSets, counted: NDArray[np.int64], late: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which facts count: not late, not counted before, and the first of their kind in the batch."""
    turn = turns.of_event[facts.event]
    bit = np.int64(1) << facts.code
    fresh = ~late[facts.event] & (counted[turn] & bit == 0)
    candidates = np.flatnonzero(fresh)
    identity = turn[candidates] * 64 + facts.code[candidates]
    _, first = np.unique(identity, return_index=True)
    new = np.zeros(len(turn), dtype=np.bool_)
    new[candidates[first]] = True
    return new


def _counts(
    facts: Facts, new: NDArray[np.bool_], late: NDArray[np.bool_]
) -> dict[ShareKey, Counts]:
    events = facts.events
    brings = np.zeros(len(events.row), dtype=np.bool_)
    brings[facts.event[new]] = True
    cells = len(facts.cells)
    total, folded, refused = (
        np.bincount(events.cell[which], minlength=cells).tolist()
        for which in (~events.credit, brings & ~events.credit, late & ~events.credit)
    )
    as_of_ms = np.zeros(cells, dtype=np.int64)
    np.maximum.at(as_of_ms, events.cell[brings], events.turn_time_ms[brings])
    counts: dict[ShareKey, Counts] = {}
    for at, events_of_cell in enumerate(total):
        if events_of_cell or as_of_ms[at]:
            duplicates = events_of_cell - folded[at] - refused[at]
            more = Counts(folded[at], duplicates, refused[at], int(as_of_ms[at]))
            counts.setdefault(_share_key(facts.cells[at]), Counts()).add(more)
    return counts


def _share_key(cell: Cell) -> ShareKey:
    return ShareKey(cell.partition, cell.router.router, cell.request_type)


def _sums(facts: Facts, new: NDArray[np.bool_]) -> dict[ShareKey, dict[SeriesKey, Sums]]:
    event = facts.event[new]
    cell, code = facts.events.cell[event], facts.code[new]
    fixed, time_ms = facts.fixed[new], facts.events.turn_time_ms[event]
    shares = [_share_key(at) for at in facts.cells]
    metrics = [{at.router.metric_code(m): m for m in at.router.metrics} for at in facts.cells]
    evidence: dict[ShareKey, dict[SeriesKey, Sums]] = {}
    for pace, half_lives in _half_lives(facts.cells).items():
        half_life = half_lives[cell, code]
        kept = half_life >= 0
        for at, code_, half_life_ms, halving, n, s1, high, low in _weigh(
            cell[kept], code[kept], half_life[kept], fixed[kept], time_ms[kept]
        ):
            era, shift = divmod(halving, HALF_LIVES_PER_ERA)
            arm, metric = facts.cells[at].arm, metrics[at][code_]
            series = SeriesKey(arm, metric, pace, half_life_ms, era)
            sums = Sums(n << shift, s1 << shift, ((high << _LIMB) + low) << shift)
            share = evidence.setdefault(shares[at], {})
            known = share.get(series)
            share[series] = known.plus(sums) if known else sums
    return evidence


def _half_lives(cells: Sequence[Cell]) -> dict[Pace, NDArray[np.int64]]:
    """For each pace the half-life in milliseconds by (cell, code); -1 where it is not kept."""
    tables = {pace: np.full((len(cells), MAX_CODE + 1), -1, dtype=np.int64) for pace in PACES}
    for index, cell in enumerate(cells):
        for code, pace, half_life_ms in cell.router.kept_paces:
            tables[pace][index, code] = half_life_ms
    return tables


def _weigh(
    cell: NDArray[np.int64],
    code: NDArray[np.int64],
    half_life: NDArray[np.int64],
    fixed: NDArray[np.int64],
    time_ms: NDArray[np.int64],
) -> Iterator[tuple[int, ...]]:
    """(cell, code, half-life, half-lives since 1970, n, s1, s2 high, s2 low) by evidence row.

    In 64-bit integers (see MAX_BATCH_EVENTS): weights without the power of two of their half-life
    within the era, and the squares in two limbs.
    """
    if not len(cell):
        return
    forgets = half_life > 0
    tick = np.where(forgets, time_ms * TICKS_PER_HALF_LIFE // np.where(forgets, half_life, 1), 0)
    halving = tick // TICKS_PER_HALF_LIFE
    base = np.where(forgets, _POW2[tick & TICKS_PER_HALF_LIFE - 1], UNIT_WEIGHT)
    # One integer a row: a cell's code has one half-life at each pace. 2^34 half-lives of 100 ms
    # are 54 years, and a batch has at most 2^14 cells of 2^6 codes.
    row = (cell * (MAX_CODE + 2) + code << 40) + halving
    order = np.argsort(row, kind="stable")
    starts = np.flatnonzero(np.diff(row[order], prepend=-1))
    base, fixed, first = base[order], fixed[order], order[starts]
    square = fixed * fixed
    sums = (
        np.add.reduceat(column, starts)
        for column in (
            base,
            base * fixed,
            base * (square >> _LIMB),
            base * (square & (1 << _LIMB) - 1),
        )
    )
    columns = (cell[first], code[first], half_life[first], halving[first], *sums)
    yield from zip(*(column.tolist() for column in columns), strict=True)


def add_evidence(into: dict[SeriesKey, Sums], more: Iterable[tuple[SeriesKey, Sums]]) -> None:
    """Add evidence rows in place."""
    for key, sums in more:
        known = into.get(key)
        into[key] = known.plus(sums) if known else sums
