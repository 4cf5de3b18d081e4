"""Columns to facts: which observations a batch brings, and which of its events can't be believed.

A fact is one metric of one turn. Facts are in log order. Validation is total: after it every fact
has a known cell, a value within its range, and a time that is not in the future.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.cells import Cell, Cells
from consumer.columns import Outcomes, Turns
from consumer.decode import Decoded
from consumer.observations import Observations, observe_outcomes, observe_turns
from consumer.records import Batch, DeadLetter
from consumer.routers import Routers

REASON_TURN_ID: Final = "bad_turn_id"
REASON_TIME: Final = "impossible_time"

# Clocks of honest machines differ by seconds; five minutes is a wrong clock or a wrong unit, and a
# time from the future would make everything after it look late.
FUTURE_TOLERANCE_MS: Final = 5 * 60 * 1000
_NONE: Final = np.empty(0, dtype=np.int64)


class SessionKey(NamedTuple):
    """A session of one router, by a hash: what clients call their sessions is not stored."""

    partition: int
    digest: bytes  # 16 bytes


@lru_cache(maxsize=1 << 15)  # 8 MB: a session that goes on is not hashed anew with every turn
def session_key(partition: int, router: str, session_id: str) -> SessionKey:
    """The key of a session of a router."""
    name = f"{router}\x1f{session_id}".encode()
    return SessionKey(partition, hashlib.blake2b(name, digest_size=16).digest())


@dataclass(frozen=True, slots=True)
class Events:
    """The believable events, one entry each, in log order."""

    row: NDArray[np.int64]
    partition: NDArray[np.int64]
    turn_hi: NDArray[np.uint64]
    turn_lo: NDArray[np.uint64]
    turn_time_ms: NDArray[np.int64]
    occurred_at: NDArray[np.int64]
    cell: NDArray[np.int64]  # index into `cells`
    # True for what a later message says about an earlier turn: it rides on that message's event,
    # and is not counted as one
    credit: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Facts:
    """Believable events with the facts they bring. `event` indexes `events`, ascending."""

    events: Events
    cells: Sequence[Cell]
    event: NDArray[np.int64]
    code: NDArray[np.int64]  # the metric's code in its router
    fixed: NDArray[np.int64]  # fixed-point value
    outcomes: NDArray[np.int64]  # by row of the batch: index into `outcome_ids`; -1 for the others
    outcome_ids: NDArray[np.void]
    voids: Mapping[int, bytes]  # by row: the outcome that this one takes back
    sessions: Sequence[SessionEvent]
    dead: Sequence[DeadLetter]


class SessionEvent(NamedTuple):
    """An event that concerns the course of a session: a turn, or an outcome about who served it."""

    event: int  # index into `events`
    session: SessionKey
    turn_id: bytes
    reaction: tuple[str, ...] = ()  # what a turn says about the one before
    reacts_to: bytes | None = None  # the turn before, where the caller named it
    served: Served | None = None  # None for a turn


class Served(NamedTuple):
    """What an outcome says of who served its turn: an arm, or that another outcome is void."""

    outcome_id: bytes
    names_arm: bool
    voids: bytes | None


def facts_of(batch: Batch, decoded: Decoded, routers: Routers) -> Facts:
    """The facts of a decoded batch, given the routers that its partitions know."""
    dead = list(decoded.dead)
    blocks: list[Turns | Outcomes] = [*decoded.turns, *decoded.outcomes]
    cells = Cells(routers)
    cell_of = [cells.of(batch, block, dead) for block in blocks]
    order = _log_order(blocks, len(batch))
    rows = _joined(blocks, "row")[order]
    cell = np.concatenate([_NONE, *cell_of])[order]
    ids = _Ids.of([turn_id for block in blocks for turn_id in block.turn_id]).take(order)
    times = _joined(blocks, "occurred_at")[order]
    is_turn = order < sum(map(len, decoded.turns))
    _reject_ids(rows, ids, dead)
    _reject_times(rows, is_turn, times, ids, batch, dead)
    routers_of_cells = [at.router for at in cells.known]
    parts = [part for turns in decoded.turns for part in observe_turns(turns, dead)]
    for outcomes, its_cells in zip(decoded.outcomes, cell_of[len(decoded.turns) :], strict=True):
        parts += observe_outcomes(outcomes, its_cells, routers_of_cells, dead)
    observed = Observations.joined(parts)
    dead = _first_per_row(dead)
    if dead:
        bad = [letter.row for letter in dead]
        observed = observed.without(bad)
        keep = np.flatnonzero(~np.isin(rows, bad))
        rows, cell, times, ids = rows[keep], cell[keep], times[keep], ids.take(keep)
    place = _by_row(rows, np.arange(len(rows)), len(batch))
    outcome_rows = _joined(decoded.outcomes, "row")
    return Facts(
        events=Events(
            row=rows,
            partition=batch.partition[rows].astype(np.int64),
            turn_hi=ids.hi,
            turn_lo=ids.lo,
            turn_time_ms=ids.time_ms,
            occurred_at=times,
            cell=cell,
            credit=np.zeros(len(rows), dtype=np.bool_),
        ),
        cells=cells.known,
        event=place[observed.row],
        code=observed.code,
        fixed=observed.fixed,
        outcomes=_by_row(outcome_rows, np.arange(len(outcome_rows)), len(batch)),
        outcome_ids=np.frombuffer(
            b"".join([own for block in decoded.outcomes for own in block.outcome_id]), dtype="V16"
        ),
        voids={
            row: voids
            for block in decoded.outcomes
            if block.voids.count(None) < len(block)
            for row, voids in zip(block.row.tolist(), block.voids, strict=True)
            if voids is not None
        },
        sessions=_session_events(batch, decoded, place, cell, cells.known),
        dead=dead,
    )


def _log_order(blocks: Sequence[Turns | Outcomes], records: int) -> NDArray[np.int64]:
    """The order that sorts the events of all blocks, one behind the other, by row."""
    rows = _joined(blocks, "row")
    at_row = _by_row(rows, np.arange(len(rows)), records)
    return at_row[at_row >= 0]


def _joined(blocks: Sequence[Turns | Outcomes], name: str) -> NDArray[np.int64]:
    return np.concatenate([_NONE, *(getattr(block, name) for block in blocks)])


def _session_events(
    batch: Batch,
    decoded: Decoded,
    place: NDArray[np.int64],
    cell: NDArray[np.int64],
    cells: Sequence[Cell],
) -> list[SessionEvent]:
    """The believable events that move a session on, in log order; `place` is where each row is
    among the believable, -1 elsewhere. A router for which no signal counts has no need of its
    sessions, and following costs time."""
    follows = np.array([bool(at.router.signals) for at in cells], dtype=np.bool_)
    if not follows.any():
        return []
    followed = place >= 0
    followed[followed] = follows[cell[place[followed]]]
    places: list[int] = np.where(followed, place, -1).tolist()
    partition = batch.partition.tolist()
    found: list[SessionEvent] = []
    for turns in decoded.turns:
        router_of = _routers(turns)
        for session_id, row, turn_id, router, reaction, reacts_to in zip(
            turns.session_id,
            turns.row.tolist(),
            turns.turn_id,
            router_of,
            turns.reaction,
            turns.previous_turn_id,
            strict=True,
        ):
            if session_id is not None and places[row] >= 0:
                session = session_key(partition[row], router, session_id)
                event = SessionEvent(places[row], session, turn_id, tuple(reaction), reacts_to)
                found.append(event)
    for outcomes in decoded.outcomes:
        names_arm = [at.arm_served is not None for at in outcomes.addresses]
        for session_id, row, turn_id, router, address, outcome_id, voids in zip(
            outcomes.session_id,
            outcomes.row.tolist(),
            outcomes.turn_id,
            _routers(outcomes),
            outcomes.address.tolist(),
            outcomes.outcome_id,
            outcomes.voids,
            strict=True,
        ):
            says = names_arm[address] or voids is not None
            if session_id is None or not says or places[row] < 0:
                continue
            session = session_key(partition[row], router, session_id)
            served = Served(outcome_id, names_arm[address], voids)
            found.append(SessionEvent(places[row], session, turn_id, served=served))
    found.sort(key=itemgetter(0))
    return found


def _routers(block: Turns | Outcomes) -> Iterator[str]:
    """The name of each event's router."""
    names = [address.router for address in block.addresses]
    return map(names.__getitem__, block.address.tolist())


def _by_row(rows: NDArray[np.int64], values: NDArray[np.int64], batch: int) -> NDArray[np.int64]:
    """The values by row of the batch; -1 for the other rows."""
    by_row = np.full(batch, -1, dtype=np.int64)
    by_row[rows] = values
    return by_row


def _first_per_row(dead: list[DeadLetter]) -> list[DeadLetter]:
    by_row: dict[int, DeadLetter] = {}
    for letter in dead:
        by_row.setdefault(letter.row, letter)
    return [by_row[row] for row in sorted(by_row)]


@dataclass(frozen=True, slots=True)
class _Ids:
    hi: NDArray[np.uint64]
    lo: NDArray[np.uint64]

    @classmethod
    def of(cls, turn_ids: Sequence[bytes]) -> _Ids:
        halves = np.frombuffer(b"".join(turn_ids), dtype=">u8").reshape(-1, 2)
        return cls(halves[:, 0].astype(np.uint64), halves[:, 1].astype(np.uint64))

    @property
    def time_ms(self) -> NDArray[np.int64]:
        return (self.hi >> np.uint64(16)).astype(np.int64)

    @property
    def is_uuid7(self) -> NDArray[np.bool_]:
        version = (self.hi >> np.uint64(12)) & np.uint64(0xF)
        variant = self.lo >> np.uint64(62)
        return np.asarray((version == 7) & (variant == 0b10))

    def take(self, which: NDArray[np.int64]) -> _Ids:
        return _Ids(self.hi[which], self.lo[which])


def _reject_ids(rows: NDArray[np.int64], ids: _Ids, dead: list[DeadLetter]) -> None:
    for place in np.flatnonzero(~ids.is_uuid7).tolist():
        turn_id = f"{int(ids.hi[place]):016x}{int(ids.lo[place]):016x}"
        detail = f"turn id {turn_id} is not a UUIDv7"
        dead.append(DeadLetter(int(rows[place]), REASON_TURN_ID, detail))


def _reject_times(
    rows: NDArray[np.int64],
    is_turn: NDArray[np.bool_],
    occurred_at: NDArray[np.int64],
    ids: _Ids,
    batch: Batch,
    dead: list[DeadLetter],
) -> None:
    log_time = batch.log_time_ms[rows]
    turn_time = ids.time_ms
    latest = log_time + FUTURE_TOLERANCE_MS
    disagree = is_turn & (occurred_at != turn_time)
    future = (occurred_at > latest) | (turn_time > latest) | (occurred_at < 0)
    for place in np.flatnonzero(disagree | future).tolist():
        detail = (
            f"occurred_at {occurred_at[place]} is not the time in the turn id, {turn_time[place]}"
            if disagree[place]
            else f"event time {occurred_at[place]}, turn time {turn_time[place]}, but the broker "
            f"appended it at {log_time[place]} ms: check the publisher's clock and units"
        )
        dead.append(DeadLetter(int(rows[place]), REASON_TIME, detail))
