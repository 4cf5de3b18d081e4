"""The table `sessions` of one partition in memory: the last turn of each session, packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from consumer.facts import SessionKey
from consumer.rebuild.id_table import IdTable, Slots, halves_of
from consumer.sessions import Move, Sessions, SessionState

# Columns: the two halves of the last turn's id, its router, type and arm as a number, its course.
_WIDTH: Final = 4
_SATISFIED: Final = 1
_TIME_SHIFT: Final = np.uint64(16)  # a UUIDv7 begins with 48 bits of milliseconds


class SessionStates:
    """Sessions by key. Those whose last turn is beyond its window are forgotten."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._table = IdTable(_WIDTH)
        self._places: dict[tuple[str, str, str], int] = {}
        self._place_names: list[tuple[str, str, str]] = []
        self._moves: dict[bytes, tuple[Move, ...]] = {}  # few sessions have any

    def __len__(self) -> int:
        return len(self._table)

    def known(self, keys: Sequence[SessionKey]) -> Sessions:
        """Those of these sessions that are known."""
        if not keys:
            return {}
        slots = self._table.find(halves_of(b"".join(key.digest for key in keys)))
        there = np.flatnonzero(slots >= 0)
        found = [keys[at] for at in there.tolist()]
        return dict(zip(found, self._states(found, slots[there]), strict=True))

    def save(self, changed: Sessions, old_ms: int) -> None:
        """Take over the sessions that a batch has changed. Those with a last turn older than
        `old_ms` may be forgotten."""
        if not changed:
            return
        if self._table.is_tight(len(changed)):
            self.forget(old_ms)
        slots = self._table.place(halves_of(b"".join(key.digest for key in changed)))
        turns = halves_of(b"".join(state.turn_id for state in changed.values()))
        places = [self._place(state) for state in changed.values()]
        courses = [state.exchanges << 1 | state.satisfied for state in changed.values()]
        for column, values in enumerate((turns[:, 0], turns[:, 1], places, courses)):
            self._table.put(slots, column, np.asarray(values, dtype=np.uint64))
        for key, state in changed.items():
            if state.moves:
                self._moves[key.digest] = state.moves
            elif self._moves:
                self._moves.pop(key.digest, None)

    def load(self, sessions: Sessions) -> None:
        """Add sessions as they are stored."""
        self.save(sessions, old_ms=0)
        self.mark_saved()

    def unsaved(self) -> Sessions:
        """Sessions that differ from what is stored, in the order of the store's index."""
        slots = self._table.changed()
        halves = self._table.ids(slots)
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        slots, ids = slots[order], halves[order].astype(">u8").tobytes()
        keys = [SessionKey(self._partition, ids[at : at + 16]) for at in range(0, len(ids), 16)]
        return dict(zip(keys, self._states(keys, slots), strict=True))

    def mark_saved(self) -> None:
        """All that was unsaved is stored now."""
        self._table.mark_stored(self._table.changed())

    def forget(self, before_ms: int) -> None:
        """Drop sessions whose last turn is older than `before_ms`."""
        slots = self._table.used()
        times = (self._table.values(slots, 0) >> _TIME_SHIFT).astype(np.int64)
        self._table.keep(slots[times >= before_ms])
        digests = list(self._moves)
        kept = self._table.find(halves_of(b"".join(digests))) >= 0
        self._moves = {d: self._moves[d] for d, keep in zip(digests, kept, strict=True) if keep}

    def _place(self, state: SessionState) -> int:
        name = (state.router, state.request_type, state.arm)
        if name not in self._places:
            self._places[name] = len(self._place_names)
            self._place_names.append(name)
        return self._places[name]

    def _states(self, keys: Sequence[SessionKey], slots: Slots) -> Iterator[SessionState]:
        turns: NDArray[np.uint64] = np.stack(
            [self._table.values(slots, column) for column in (0, 1)], axis=1
        )
        turn_ids = turns.astype(">u8").tobytes()
        places, courses = (self._table.values(slots, column).tolist() for column in (2, 3))
        for at, (key, place, course) in enumerate(zip(keys, places, courses, strict=True)):
            router, request_type, arm = self._place_names[place]
            yield SessionState(
                turn_id=turn_ids[16 * at : 16 * at + 16],
                router=router,
                request_type=request_type,
                arm=arm,
                exchanges=course >> 1,
                satisfied=bool(course & _SATISFIED),
                moves=self._moves.get(key.digest, ()),
            )
