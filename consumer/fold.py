"""The fold: facts, and what is already counted, to exact sums. Pure; reads no clock.

A fact counts once. Each turn keeps a set of the facts already counted, one bit a metric; an event
that brings no new bit is a duplicate, whatever its id. Beside the set stands the turn's ledger:
what each outcome has added, so that a void can take it back (`consumer.voids`). Facts about a turn
whose attribution window has passed, measured by the latest event time seen in the partition, are
refused: beyond it neither is kept. All rules depend on the order of the log alone, so any
batching and any replay give the same result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.cells import Cell
from consumer.facts import Events, Facts
from consumer.ledger import entries_of
from consumer.ragged import NOTHING, Ragged
from consumer.sums import Changes, Latest, sums_of
from consumer.voids import settle, turns_with_voids
from schemas.evidence import PICKED, SeriesKey, Sums
from schemas.metrics import BUILT_IN

# Sums of a batch are held in 64 bits (consumer.sums), and its facts in memory.
MAX_BATCH_EVENTS: Final = 1 << 15
TURN_KEY: Final = np.dtype([("partition", ">u4"), ("hi", ">u8"), ("lo", ">u8")])
_PICKED: Final = BUILT_IN[PICKED][0]
_CODES: Final = 64  # bits of a turn's set


class ShareKey(NamedTuple):
    """What a snapshot is about: one partition's share of one (router, request type)."""

    partition: int
    router: str
    request_type: str


@dataclass(slots=True)
class Counts:
    """Events by what became of them, and the latest turn time among the folded: of all, and of each
    arm that has shown more than that it was picked (schemas.evidence.reading_ms)."""

    folded: int = 0
    duplicates: int = 0
    late: int = 0
    as_of_ms: int = 0
    seen_ms: dict[str, int] = field(default_factory=dict)

    def add(self, other: Counts) -> None:
        self.folded += other.folded
        self.duplicates += other.duplicates
        self.late += other.late
        self.as_of_ms = max(self.as_of_ms, other.as_of_ms)
        for arm, at_ms in other.seen_ms.items():
            self.seen_ms[arm] = max(at_ms, self.seen_ms.get(arm, 0))


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
    """What a batch does. Sums and counts are to be added; sums may be negative, and a row may come
    to nothing. `counted` and `ledgers` replace; `entries` are appended."""

    evidence: Mapping[ShareKey, Mapping[SeriesKey, Sums]]
    counts: Mapping[ShareKey, Counts]
    counted: NDArray[np.int64]  # per turn of TurnSets: the set after the batch
    stream_time_ms: Mapping[int, int]
    entries: Ragged = NOTHING  # per turn: what to append to its ledger
    # by turn: the whole ledger, where it is not just appended to
    ledgers: Mapping[int, bytes] = field(default_factory=dict)


def turns_of(events: Events) -> TurnSets:
    """The distinct turns of a batch."""
    of_event = _told_apart(events)
    if of_event is None:
        keys = turn_keys(events.partition, events.turn_hi, events.turn_lo)
        index = dict(zip(dict.fromkeys(keys), range(len(keys)), strict=False))
        of_event = np.fromiter(map(index.__getitem__, keys), dtype=np.int64, count=len(keys))
    first = np.empty(int(of_event.max(initial=-1)) + 1, dtype=np.int64)
    first[of_event[::-1]] = np.arange(len(of_event))[::-1]  # of several the one written last
    return TurnSets(events.partition[first], events.turn_hi[first], events.turn_lo[first], of_event)


def _told_apart(events: Events) -> NDArray[np.int64] | None:
    """Each event's turn, numbered as they come first, by the random bits of the ids; None in the
    one case of billions that these are the same for two turns, or that somebody chose them so."""
    _, first, which = np.unique(events.turn_lo, return_index=True, return_inverse=True)
    alike = first[which]
    same = (events.turn_hi == events.turn_hi[alike]) & (events.partition == events.partition[alike])
    if not same.all():
        return None
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[which]


def turn_keys(
    partition: NDArray[np.int64], hi: NDArray[np.uint64], lo: NDArray[np.uint64]
) -> list[bytes]:
    """Partition and turn id of each, as one value."""
    keys = np.empty(len(partition), dtype=TURN_KEY)
    keys["partition"], keys["hi"], keys["lo"] = partition, hi, lo
    listed: list[bytes] = keys.view(f"V{TURN_KEY.itemsize}").tolist()
    return listed


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch of which it is known what is new, and which ledgers are needed to go on."""

    facts: Facts
    turns: TurnSets
    counted: NDArray[np.int64]
    stream_time_ms: Mapping[int, int]  # after the batch
    late: NDArray[np.bool_]
    new: NDArray[np.bool_]
    second: NDArray[np.bool_]  # the events that bring something that is counted already
    with_voids: NDArray[np.bool_]
    to_settle: Sequence[int]  # the turns whose ledgers are needed, by index


def prepare(
    facts: Facts, turns: TurnSets, counted: NDArray[np.int64], stream_time_ms: Mapping[int, int]
) -> Prepared:
    """Begin to fold a batch of at most MAX_BATCH_EVENTS events.

    `counted` holds each turn's set before the batch (0: none), `stream_time_ms` each partition's
    latest event time before the batch.
    """
    events = np.count_nonzero(~facts.events.credit)
    if events > MAX_BATCH_EVENTS:
        raise ValueError(f"a batch holds at most {MAX_BATCH_EVENTS} events, got {events}")
    starts, after = window_starts(facts, stream_time_ms)
    late = facts.events.turn_time_ms < starts
    new = _new_facts(facts, turns, counted, ~late)
    with_voids = turns_with_voids(facts, turns.of_event, counted)
    # what came second waits in the ledger; a turn that comes again has nothing to wait for
    may_wait = facts.events.credit | (facts.outcomes[facts.events.row] >= 0)
    second = np.zeros(len(late), dtype=np.bool_)
    second[facts.event[~new]] = True
    second &= may_wait & ~late
    to_settle = with_voids.copy()
    to_settle[turns.of_event[second]] = True
    settled = np.flatnonzero(to_settle).tolist()
    return Prepared(facts, turns, counted, after, late, new, second, with_voids, settled)


def complete(prepared: Prepared, ledgers: Mapping[int, bytes]) -> Fold:
    """Fold a prepared batch, given the ledgers of the turns `to_settle` (b"": none yet).

    Where nothing of a log is ever voided those of `with_voids` do. Raises ValueError without.
    """
    facts, turns, counted = prepared.facts, prepared.turns, prepared.counted
    missing = set(np.flatnonzero(prepared.with_voids).tolist()) - ledgers.keys()
    if missing:
        raise ValueError(f"{len(missing)} turns have voids, and their ledgers are not given")
    settled = settle(facts, turns.of_event, counted, ledgers, prepared.late, prepared.second)
    turn_of_fact = turns.of_event[facts.event]
    new = prepared.new & ~np.isin(turn_of_fact, list(settled.counted))
    counted_after = counted.copy()
    np.bitwise_or.at(counted_after, turn_of_fact[new], np.int64(1) << facts.code[new])
    counted_after[list(settled.counted)] = list(settled.counted.values())
    brings = np.zeros(len(facts.events.row), dtype=np.bool_)
    brings[facts.event[new]] = True
    brings[settled.changed_by] = True
    changes = _added(facts, new).and_(settled.changes)
    latest = _latest(facts, len(settled.cells), changes, brings)
    return Fold(
        evidence=_evidence(settled.cells, changes, latest),
        counts=_counts(facts, settled.cells, latest, brings, prepared.late),
        counted=counted_after,
        stream_time_ms=prepared.stream_time_ms,
        entries=entries_of(facts, turns.of_event, len(turns), new),
        ledgers=settled.ledgers,
    )


def fold(
    facts: Facts,
    turns: TurnSets,
    counted: NDArray[np.int64],
    stream_time_ms: Mapping[int, int],
    ledgers: Mapping[int, bytes] = MappingProxyType({}),
) -> Fold:
    """`prepare` and `complete`, where the ledgers are known beforehand."""
    return complete(prepare(facts, turns, counted, stream_time_ms), ledgers)


def window_starts(
    facts: Facts, stream_time_ms: Mapping[int, int]
) -> tuple[NDArray[np.int64], dict[int, int]]:
    """The time of the oldest turn that each event may still speak of, and each partition's stream
    time after the batch. An event counts into the stream time that it is judged by."""
    events = facts.events
    seen_at = np.empty(len(events.row), dtype=np.int64)
    after = dict(stream_time_ms)
    for partition in np.unique(events.partition).tolist():
        of_partition = np.flatnonzero(events.partition == partition)
        running = np.maximum.accumulate(events.occurred_at[of_partition])
        seen_at[of_partition] = np.maximum(running, stream_time_ms.get(partition, 0))
        after[partition] = int(seen_at[of_partition[-1]])
    window = np.array([cell.router.window_ms for cell in facts.cells], dtype=np.int64)
    return seen_at - window[events.cell], after


def _new_facts(
    facts: Facts, turns: TurnSets, counted: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which facts of the wanted events count: not counted before, and the first of their kind."""
    turn = turns.of_event[facts.event]
    bit = np.int64(1) << facts.code
    fresh = wanted[facts.event] & (counted[turn] & bit == 0)
    candidates = np.flatnonzero(fresh)
    identity = turn[candidates] * _CODES + facts.code[candidates]
    first = np.empty(len(turns) * _CODES, dtype=np.int64)
    first[identity[::-1]] = candidates[::-1]  # of several the one written last
    new = np.zeros(len(turn), dtype=np.bool_)
    new[first[identity]] = True
    return new


def _added(facts: Facts, new: NDArray[np.bool_]) -> Changes:
    event = facts.event[new]
    return Changes(
        cell=facts.events.cell[event],
        code=facts.code[new],
        fixed=facts.fixed[new],
        time_ms=facts.events.turn_time_ms[event],
        sign=np.ones(len(event), dtype=np.int64),
    )


def _latest(facts: Facts, cells: int, changes: Changes, brings: NDArray[np.bool_]) -> Latest:
    events = facts.events
    as_of_ms = np.zeros(cells, dtype=np.int64)
    np.maximum.at(as_of_ms, events.cell[brings], events.turn_time_ms[brings])
    seen_ms = np.zeros(cells, dtype=np.int64)
    showing = (changes.code != _PICKED) & (changes.sign > 0)
    np.maximum.at(seen_ms, changes.cell[showing], changes.time_ms[showing])
    return Latest(as_of_ms, seen_ms)


def _counts(
    facts: Facts,
    cells: Sequence[Cell],
    latest: Latest,
    brings: NDArray[np.bool_],
    late: NDArray[np.bool_],
) -> dict[ShareKey, Counts]:
    events = facts.events
    total, folded, refused = (
        np.bincount(events.cell[which], minlength=len(cells)).tolist()
        for which in (~events.credit, brings & ~events.credit, late & ~events.credit)
    )
    as_of_ms, seen_ms = latest.as_of_ms.tolist(), latest.seen_ms.tolist()
    counts: dict[ShareKey, Counts] = {}
    for at, events_of_cell in enumerate(total):
        if events_of_cell or as_of_ms[at] or seen_ms[at]:
            duplicates = events_of_cell - folded[at] - refused[at]
            seen = {cells[at].arm: seen_ms[at]} if seen_ms[at] else {}
            more = Counts(folded[at], duplicates, refused[at], as_of_ms[at], seen)
            counts.setdefault(_share_key(cells[at]), Counts()).add(more)
    return counts


def _evidence(
    cells: Sequence[Cell], changes: Changes, latest: Latest
) -> dict[ShareKey, dict[SeriesKey, Sums]]:
    evidence: dict[ShareKey, dict[SeriesKey, Sums]] = {}
    shares = [evidence.setdefault(_share_key(cell), {}) for cell in cells]
    for cell, series, sums in sums_of(cells, changes, latest):
        share = shares[cell]
        known = share.get(series)
        share[series] = known.plus(sums) if known else sums
    return {share: rows for share, rows in evidence.items() if rows}


def _share_key(cell: Cell) -> ShareKey:
    return ShareKey(cell.partition, cell.router.router, cell.request_type)


def add_evidence(into: dict[SeriesKey, Sums], more: Iterable[tuple[SeriesKey, Sums]]) -> None:
    """Add evidence rows in place."""
    for key, sums in more:
        known = into.get(key)
        into[key] = known.plus(sums) if known else sums
