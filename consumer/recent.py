"""What the writer remembers of the turns and sessions it has lately stored, so as not to read them.

Exact, because a writer is the only one of its partitions: what it has committed since it took a
partition is what is stored, until it gives the partition up. Bounded: what was stored longest ago
is forgotten first, and read again when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import compress, islice, repeat
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.facts import SessionKey
from consumer.fold import TURN_KEY, TurnSets, turn_keys
from consumer.sessions import Sessions, SessionState
from schemas.events import uuid7_time_ms

# 0.15 kB each: 20 MB.
MAX_TURNS: Final = 1 << 17
# 0.5 kB each: 33 MB.
MAX_SESSIONS: Final = 1 << 16


class RecentTurns:
    """Sets of counted facts. A turn that is neither remembered nor older than any that was
    forgotten is not stored at all: most turns are new, and need not be looked for."""

    def __init__(self, capacity: int = MAX_TURNS) -> None:
        self._capacity = capacity
        self._counted: dict[bytes, int] = {}
        # By partition the upper half of a turn id: all that is stored above it is remembered.
        self._floor: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._counted)

    def take(self, partition: int, newest: bytes | None) -> None:
        """Begin with a partition of which `newest` is the greatest turn id that is stored."""
        self._floor[partition] = int.from_bytes(newest[:8], "big") if newest else 0

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget partitions that were given up."""
        gone = set(partitions)
        prefixes = {partition.to_bytes(4, "big") for partition in gone}
        self._floor = {p: hi for p, hi in self._floor.items() if p not in gone}
        kept = self._counted.items()
        self._counted = {key: counted for key, counted in kept if key[:4] not in prefixes}

    def counted(self, turns: TurnSets) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Each turn's set, and which of them are not known here and must be read."""
        found = map(self._counted.get, _keys(turns), repeat(-1))
        counted = np.fromiter(found, dtype=np.int64, count=len(turns))
        unknown = counted < 0
        counted[unknown] = 0
        floor = np.zeros(max(self._floor, default=0) + 1, dtype=np.uint64)
        floor[list(self._floor)] = list(self._floor.values())
        return counted, unknown & (turns.hi <= floor[turns.partition])

    def keep(self, turns: TurnSets, counted: NDArray[np.int64]) -> None:
        """Remember what a committed batch has left of its turns."""
        stored = counted != 0
        keys = compress(_keys(turns), stored.tolist())
        self._counted.update(zip(keys, counted[stored].tolist(), strict=True))
        if len(self._counted) > self._capacity:
            # a tenth at a time: half as many small steps would cost twice as much
            self._forget(len(self._counted) - self._capacity + self._capacity // 10)

    def _forget(self, count: int) -> None:
        oldest = list(islice(self._counted, count))
        for key in oldest:
            del self._counted[key]
        ids = np.frombuffer(b"".join(oldest), dtype=TURN_KEY)
        for partition in np.unique(ids["partition"]).tolist():
            highest = int(ids["hi"][ids["partition"] == partition].max())
            self._floor[partition] = max(self._floor[partition], highest)


def _keys(turns: TurnSets) -> list[bytes]:
    return turn_keys(turns.partition, turns.hi, turns.lo)


class Split(NamedTuple):
    """Sessions that are known, and the keys of those that must be looked for."""

    known: dict[SessionKey, SessionState]
    unknown: list[SessionKey]


class RecentSessions:
    """States of sessions, all of which are stored as they are here."""

    def __init__(self, capacity: int = MAX_SESSIONS) -> None:
        self._capacity = capacity
        self._states: dict[SessionKey, SessionState] = {}

    def __len__(self) -> int:
        return len(self._states)

    def drop(self, partitions: Iterable[int]) -> None:
        """Forget partitions that were given up."""
        gone = set(partitions)
        self._states = {k: state for k, state in self._states.items() if k.partition not in gone}

    def forget_before(self, partition: int, before_ms: int) -> None:
        """Forget sessions of which the last turn is older: they may not be stored any more."""
        self._states = {
            key: state
            for key, state in self._states.items()
            if key.partition != partition or uuid7_time_ms(state.turn_id) >= before_ms
        }

    def split(self, keys: Iterable[SessionKey]) -> Split:
        """Those of these sessions that are known here, and those that must be read."""
        known: dict[SessionKey, SessionState] = {}
        unknown: list[SessionKey] = []
        for key in keys:
            state = self._states.get(key)
            if state is None:
                unknown.append(key)
            else:
                known[key] = state
        return Split(known, unknown)

    def keep(self, sessions: Sessions) -> None:
        """Remember sessions as a committed batch has left them."""
        states = self._states
        for key, state in sessions.items():
            states.pop(key, None)  # so that it is the latest
            states[key] = state
        for key in list(islice(states, max(len(states) - self._capacity, 0))):
            del states[key]
