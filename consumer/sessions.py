"""Attribution: what a message says about the turn before it is credited to that turn. Pure.

A session's turn N+1 carries the reaction to turn N. Whichever arm serves N+1, and whichever API
replica saw it, the arm and request type of N get the credit; a fallback's outcome moves it to the
arm that served. Turns count by the time in their ids: a repeat, or a turn that arrives behind a
later one, changes nothing. A session of which the last turn is beyond its attribution window begins
anew. Thanks count once a session, and not before two exchanges: the first "thanks" often only
closes a greeting.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, NamedTuple

import numpy as np

from consumer.cells import Cell
from consumer.facts import Facts, Served, SessionEvent, SessionKey
from consumer.fold import window_starts
from consumer.routers import Routers
from schemas.events import uuid7_time_ms
from schemas.metrics import BUILT_IN, SATISFACTION, SCORE_ONE, SIGNALS

MIN_EXCHANGES_FOR_SATISFACTION: Final = 2
# A chain of fallbacks is rarely longer, and a client can send outcomes without end.
MAX_MOVES: Final = 8


class Move(NamedTuple):
    """An outcome that named another arm as the one that served, and the arm before it."""

    outcome_id: bytes
    arm_before: str


class SessionState(NamedTuple):
    """A session's last turn, and how far the session has come."""

    turn_id: bytes
    router: str
    request_type: str
    arm: str
    exchanges: int
    satisfied: bool
    moves: tuple[Move, ...] = ()  # of the last turn, at most MAX_MOVES

    @property
    def own_arm(self) -> str:
        """The arm of the last turn itself."""
        return self.moves[0].arm_before if self.moves else self.arm


class TurnKey(NamedTuple):
    """A turn, where there is no batch to index."""

    partition: int
    turn_id: bytes


Sessions = Mapping[SessionKey, SessionState]
Voided = Mapping[TurnKey, Collection[bytes]]


@dataclass(frozen=True, slots=True)
class _Credit:
    event: int  # the event that carries the reaction
    turn_id: bytes
    cell: int
    signals: tuple[str, ...]


def turns_moved(facts: Facts) -> set[TurnKey]:
    """Turns of which an outcome names the arm that served, perhaps one that is void already."""
    return {
        TurnKey(event.session.partition, event.turn_id)
        for event in facts.sessions
        if event.served is not None and event.served.names_arm
    }


def attribute(
    facts: Facts,
    routers: Routers,
    before: Sessions,
    stream_time_ms: Mapping[int, int],
    voided: Voided = MappingProxyType({}),
) -> tuple[Facts, Sessions]:
    """The facts with what reactions say about earlier turns, and the sessions that have changed.

    `before` holds the sessions of `facts.sessions` that were known before the batch, `voided` the
    outcomes of `turns_moved` that were void before it.
    """
    if not facts.sessions:
        return facts, {}
    starts, _ = window_starts(facts, stream_time_ms)
    late: list[bool] = (facts.events.turn_time_ms < starts).tolist()
    oldest: list[int] = starts.tolist()
    horizon = max(int(starts.max()), 0).to_bytes(6, "big")  # only below it may a turn be too old
    cell_of: list[int] = facts.events.cell.tolist()
    changed: dict[SessionKey, SessionState] = {}
    cells = _CellIndex(facts, routers)
    credits_: list[_Credit] = []
    moves = _Moves(voided)
    for event in facts.sessions:
        if late[event.event]:
            continue
        known = changed.get(event.session) or before.get(event.session)
        if known is not None and known.turn_id < horizon:
            known = known if uuid7_time_ms(known.turn_id) >= oldest[event.event] else None
        at = facts.cells[cell_of[event.event]]
        if event.served is not None:
            moved = moves.after(known, event, event.served, at.arm)
            if moved is not None:
                changed[event.session] = moved
        elif known is None or known.turn_id < event.turn_id:
            signals = _counting(event, known, at.router.signals)
            if signals and known is not None:
                cell = cells.of(event.session.partition, known)
                credits_.append(_Credit(event.event, known.turn_id, cell, signals))
            changed[event.session] = _after_turn(event, at, known, signals)
    return _with_credits(facts, cells.known, credits_), changed


def _after_turn(
    event: SessionEvent, at: Cell, known: SessionState | None, credited: Container[str]
) -> SessionState:
    return SessionState(
        event.turn_id,
        at.router.router,
        at.request_type,
        at.arm,
        known.exchanges + 1 if known else 1,
        known is not None and (known.satisfied or SATISFACTION in credited),
    )


def _counting(
    event: SessionEvent, known: SessionState | None, counting: Container[str]
) -> tuple[str, ...]:
    """The signals that may be credited to the session's last turn."""
    if known is None or not event.reaction:
        return ()
    if event.reacts_to not in (None, known.turn_id):
        return ()  # said about a turn that has not arrived: better nobody's than another's
    named = (signal for signal in event.reaction if signal in counting)
    return tuple(signal for signal in named if _may_count(signal, known))


def _may_count(signal: str, known: SessionState) -> bool:
    return signal != SATISFACTION or (
        not known.satisfied and known.exchanges >= MIN_EXCHANGES_FOR_SATISFACTION
    )


class _Moves:
    """Moves the credit of a session's last turn to the arm that served, and back."""

    def __init__(self, voided: Voided) -> None:
        self._voided = {turn: set(outcome_ids) for turn, outcome_ids in voided.items()}

    def after(
        self, known: SessionState | None, event: SessionEvent, served: Served, arm: str
    ) -> SessionState | None:
        """The session after the outcome; None where it is as before."""
        turn = TurnKey(event.session.partition, event.turn_id)
        if served.voids is not None:
            self._voided.setdefault(turn, set()).add(served.voids)
        if known is None or known.turn_id != event.turn_id:
            return None
        after = _taken_back(known, served.voids)
        # Many report the arm that served in every case, and the failure of the first arm may come
        # behind, or come again behind, the success of the next.
        moves = served.names_arm and arm != after.own_arm and len(after.moves) < MAX_MOVES
        stands = served.outcome_id not in self._voided.get(turn, ())
        if moves and stands and all(m.outcome_id != served.outcome_id for m in after.moves):
            move = Move(served.outcome_id, after.arm)
            after = after._replace(arm=arm, moves=(*after.moves, move))
        return after if after != known else None


def _taken_back(known: SessionState, outcome_id: bytes | None) -> SessionState:
    """The session without the move of an outcome; the move behind it was made from before it."""
    for place, (its_id, before) in enumerate(known.moves):
        if its_id == outcome_id:
            earlier, later = known.moves[:place], known.moves[place + 1 :]
            if not later:
                return known._replace(arm=before, moves=earlier)
            first = later[0]._replace(arm_before=before)
            return known._replace(moves=(*earlier, first, *later[1:]))
    return known


class _CellIndex:
    """The batch's cells, and those of turns from before it."""

    def __init__(self, facts: Facts, routers: Routers) -> None:
        self.known = list(facts.cells)
        self._routers = routers
        self._index = {
            (cell.partition, cell.router.router, cell.request_type, cell.arm): index
            for index, cell in enumerate(self.known)
        }

    def of(self, partition: int, at: SessionState) -> int:
        address = (partition, at.router, at.request_type, at.arm)
        if address not in self._index:
            self._index[address] = len(self.known)
            router = self._routers[partition, at.router]
            self.known.append(Cell(partition, router, at.request_type, at.arm))
        return self._index[address]


def _with_credits(facts: Facts, cells: list[Cell], credits_: list[_Credit]) -> Facts:
    """The facts with one more event a credit, behind the event that carries it."""
    if not credits_:
        return replace(facts, cells=cells)
    events = facts.events
    carrier = np.array([credit.event for credit in credits_], dtype=np.int64)
    behind = carrier + 1
    halves = np.frombuffer(b"".join(c.turn_id for c in credits_), dtype=">u8").reshape(-1, 2)
    times = np.array([uuid7_time_ms(c.turn_id) for c in credits_], dtype=np.int64)
    moved = facts.event + np.searchsorted(carrier, facts.event, side="left")
    own = behind + np.arange(len(credits_))
    each = np.array([len(credit.signals) for credit in credits_])
    signals = [signal for credit in credits_ for signal in credit.signals]
    event = np.concatenate([moved, np.repeat(own, each)])
    order = np.argsort(event, kind="stable")
    code = np.array([BUILT_IN[signal][0] for signal in signals], dtype=np.int64)
    fixed = np.array([round(SIGNALS[signal] * SCORE_ONE) for signal in signals], dtype=np.int64)
    return replace(
        facts,
        cells=cells,
        events=replace(
            events,
            row=np.insert(events.row, behind, events.row[carrier]),
            partition=np.insert(events.partition, behind, events.partition[carrier]),
            turn_hi=np.insert(events.turn_hi, behind, halves[:, 0].astype(np.uint64)),
            turn_lo=np.insert(events.turn_lo, behind, halves[:, 1].astype(np.uint64)),
            turn_time_ms=np.insert(events.turn_time_ms, behind, times),
            occurred_at=np.insert(events.occurred_at, behind, events.occurred_at[carrier]),
            cell=np.insert(events.cell, behind, [credit.cell for credit in credits_]),
            credit=np.insert(events.credit, behind, True),
        ),
        event=event[order],
        code=np.concatenate([facts.code, code])[order],
        fixed=np.concatenate([facts.fixed, fixed])[order],
    )
