"""A hash table from 128-bit ids to rows of integers, in numpy, looked up a batch at a time.

A turn costs 40 to 65 bytes; in a dict it would cost 200. Open addressing with linear probing; rows
are never taken out one by one, but left behind when the table is made anew.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint64]  # (n, 2): the high and the low half of each id
Slots = NDArray[np.int64]

_USED: Final = np.uint8(1)
_STORED: Final = np.uint8(2)
_DIRTY: Final = np.uint8(4)
# Beyond two thirds probes get long; after a move a third is filled, so that moves stay rare.
_MAX_LOAD: Final = 0.65
_LOAD_AFTER_MOVE: Final = 0.4
_MIN_BITS: Final = 10
# Odd constants near 2^64 / phi and 2^64 / sqrt(2): the product's top bits depend on all bits.
_MIX_HI: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX_LO: Final = np.uint64(0xB504F333F9DE6485)


class IdTable:
    """`width` 64-bit integers for each id, all 0 at first.

    For each id two marks are kept: that it is stored elsewhere, and that it has changed since.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._count = 0
        self._make(_MIN_BITS)

    def _make(self, bits: int) -> None:
        self._bits = bits
        # the last row stays empty: it is what -1 stands for
        self._rows = np.zeros(((1 << bits) + 1, 2 + self._width), dtype=np.uint64)
        self._flags = np.zeros(1 << bits, dtype=np.uint8)
        self._claims = np.empty(1 << bits, dtype=np.int32)

    def __len__(self) -> int:
        return self._count

    @property
    def capacity(self) -> int:
        """How many slots there are; they are numbered from 0."""
        return len(self._flags)

    def find(self, ids: Ids) -> Slots:
        """The slot of each id; -1, a slot in which every value is 0, where it is not there."""
        return self._probe(ids, insert=False)

    def place(self, ids: Ids) -> Slots:
        """The slot of each id, which is put in where it was missing.

        Slots hold until the next `place` or `forget`.
        """
        if self.is_tight(len(ids)):
            self._move(np.flatnonzero(self._flags), room=len(ids))
        return self._probe(ids, insert=True)

    def values(self, slots: Slots, column: int) -> NDArray[np.uint64]:
        """One column of these slots."""
        values: NDArray[np.uint64] = self._rows[slots, 2 + column]
        return values

    def put(self, slots: Slots, column: int, values: NDArray[np.uint64]) -> None:
        """Set one column of these slots, and mark them as changed."""
        self._rows[slots, 2 + column] = values
        self._flags[slots] |= _DIRTY

    def changed(self) -> Slots:
        """Slots that have changed since they were stored."""
        return np.flatnonzero(self._flags & _DIRTY)

    def is_stored(self, slots: Slots) -> NDArray[np.bool_]:
        """Which of these slots have been stored at some time."""
        return np.asarray(self._flags[slots] & _STORED != 0)

    def mark_stored(self, slots: Slots) -> None:
        """These slots are stored as they are."""
        self._flags[slots] = _USED | _STORED

    def used(self) -> Slots:
        """All slots in use."""
        return np.flatnonzero(self._flags)

    def ids(self, slots: Slots) -> Ids:
        """The ids in these slots."""
        return self._rows[slots, :2]

    def is_tight(self, more: int) -> bool:
        """True if the next `place` of so many ids will make the table anew: a time to forget."""
        return self._count + more > _MAX_LOAD * len(self._flags)

    def keep(self, slots: Slots, room: int = 0) -> None:
        """Forget all but these, and have room for some more."""
        self._move(slots, room)

    def _move(self, slots: Slots, room: int) -> None:
        rows, flags = self._rows[slots], self._flags[slots]
        wanted = (len(slots) + room) / _LOAD_AFTER_MOVE
        self._make(max(_MIN_BITS, int(wanted).bit_length()))
        self._count = 0
        at = self._probe(rows[:, :2], insert=True)
        self._rows[at], self._flags[at] = rows, flags

    def _probe(self, ids: Ids, *, insert: bool) -> Slots:
        last = np.int64(len(self._flags) - 1)
        mixed = ids[:, 0] * _MIX_HI + ids[:, 1] * _MIX_LO
        slot = (mixed >> np.uint64(64 - self._bits)).astype(np.int64)
        found = np.full(len(ids), -1, dtype=np.int64)
        left = np.arange(len(ids))
        while len(left):
            at = slot[left]
            used = self._flags[at] != 0
            rows, wanted = self._rows[at, :2], ids[left]
            there = used & (rows[:, 1] == wanted[:, 1]) & (rows[:, 0] == wanted[:, 0])
            if insert:
                there[self._claim(at, ~used, ids, left)] = True
            found[left[there]] = at[there]
            # One that lost its free slot to another looks there again, and then goes on.
            goes_on = used & ~there
            slot[left[goes_on]] = at[goes_on] + 1 & last
            left = left[~there] if insert else left[goes_on]
        return found

    def _claim(
        self, at: Slots, free: NDArray[np.bool_], ids: Ids, left: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Give each free slot to the first that wants it; who got one."""
        wanting = np.flatnonzero(free)
        self._claims[at[wanting[::-1]]] = wanting[::-1]  # of several the one written last
        is_first = np.asarray(self._claims[at[wanting]] == wanting)
        winners: NDArray[np.int64] = wanting[is_first]
        slots = at[winners]
        self._rows[slots, :2] = ids[left[winners]]
        self._flags[slots] = _USED
        self._count += len(slots)
        return winners


def ids_of(hi: NDArray[np.uint64], lo: NDArray[np.uint64]) -> Ids:
    """Ids from their halves."""
    return np.stack([hi, lo], axis=1)


def halves_of(ids: bytes) -> Ids:
    """Ids of 16 bytes each, one behind the other."""
    return np.frombuffer(ids, dtype=">u8").reshape(-1, 2).astype(np.uint64)
