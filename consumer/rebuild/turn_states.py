"""The table `turn_states` of one partition in memory: sets of counted facts, and ledgers.

What has changed since the last checkpoint is known, so that it can be saved. Turns beyond their
attribution window are forgotten, by the rule of the live consumer; how many are held at a time
depends on the window and the traffic, not on the length of the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.fold import Fold, TurnSets
from consumer.ledger import Ledger
from consumer.ragged import NOTHING, Ragged
from consumer.rebuild.id_table import Ids, IdTable, halves_of, ids_of
from consumer.rebuild.ledger_file import LedgerFile
from consumer.sessions import TurnKey, Voided

# 10 MB of rows.
_TURNS_AT_A_TIME: Final = 1 << 16
# How long the table lasts before turns are forgotten again: that costs as much as a batch.
_BATCHES_TO_COME: Final = 8
_COUNTED: Final = 0
_LEDGER: Final = 1  # position of the newest entry; 0: none
_NOWHERE: Final = -1
_TIME_SHIFT: Final = np.uint64(16)  # a UUIDv7 begins with 48 bits of milliseconds


class UnsavedTurns(NamedTuple):
    """What differs from the store, as `Transaction.save_turns` takes it."""

    turns: TurnSets
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    entries: Ragged
    ledgers: Mapping[int, bytes]


class _Entries(NamedTuple):
    """Entries of ledgers as slices of `flat`, in the order of the places of their turns."""

    places: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    flat: bytes

    def of_places(self, start: int, end: int) -> Ragged:
        """For each of these places its entries, one behind the other."""
        which = slice(*np.searchsorted(self.places, [start, end]).tolist())
        places, starts, ends = self.places[which], self.starts[which], self.ends[which]
        lengths = np.zeros(end - start, dtype=np.int64)
        np.add.at(lengths, places - start, ends - starts)
        slices = zip(starts.tolist(), ends.tolist(), strict=True)
        data = b"".join([self.flat[first:last] for first, last in slices])
        return Ragged(lengths, np.frombuffer(data, dtype=np.uint8))


class TurnStates:
    """Sets and ledgers by turn. With `saves` False nothing is kept for a checkpoint."""

    def __init__(self, partition: int, *, saves: bool) -> None:
        self._partition = partition
        self._saves = saves
        self._table = IdTable(width=2)
        self._ledgers = LedgerFile()
        self._entries: list[tuple[Ids, Ragged]] = []  # since the last checkpoint
        self._replaced: set[bytes] = set()  # turns with a ledger written anew since then

    def __len__(self) -> int:
        return len(self._table)

    def counted(self, turns: TurnSets) -> NDArray[np.int64]:
        """For each turn the set of facts already counted; 0 for a turn not seen before."""
        slots = self._table.find(ids_of(turns.hi, turns.lo))
        return self._table.values(slots, _COUNTED).astype(np.int64)

    def ledgers(self, turns: TurnSets, places: Sequence[int]) -> dict[int, bytes]:
        """The ledgers of some turns, given and returned by index; b"" where there is none."""
        at = list(places)
        ledgers = self._read(ids_of(turns.hi[at], turns.lo[at]))
        return dict(zip(at, ledgers, strict=True))

    def voided(self, turns: Iterable[TurnKey]) -> Voided:
        """The outcomes of these turns that are void."""
        keys = list(turns)
        ledgers = self._read(halves_of(b"".join(key.turn_id for key in keys)))
        return {key: Ledger.read(data).voided for key, data in zip(keys, ledgers, strict=True)}

    def save(self, turns: TurnSets, before: NDArray[np.int64], folded: Fold, old_ms: int) -> None:
        """Take over what a batch has changed. Turns older than `old_ms` may be forgotten."""
        changed = before != folded.counted
        changed[list(folded.ledgers)] = True
        ids = ids_of(turns.hi[changed], turns.lo[changed])
        if self._table.is_tight(len(ids)):
            self.forget(old_ms, _BATCHES_TO_COME * len(ids))
        slots = self._table.place(ids)
        self._table.put(slots, _COUNTED, folded.counted[changed].astype(np.uint64))
        brings = folded.entries.lengths[changed] > 0
        self._append(ids[brings], slots[brings], folded.entries.where(folded.entries.lengths > 0))
        for place, ledger in folded.ledgers.items():
            self._replace(turns.hi[place : place + 1], turns.lo[place : place + 1], ledger)

    def load(self, ids: Ids, counted: NDArray[np.int64], ledgers: Ragged) -> None:
        """Add turns as they are stored."""
        slots = self._table.place(ids)
        self._table.put(slots, _COUNTED, counted.astype(np.uint64))
        has_one = ledgers.lengths > 0
        self._chain(ids[has_one], slots[has_one], ledgers.where(has_one))
        self._table.mark_stored(slots)

    def unsaved(self) -> Iterator[UnsavedTurns]:
        """Turns that differ from what is stored, in the order of their ids: appending to the
        store's index costs half of inserting all over it. Some at a time, as making rows of them
        takes several times their space."""
        slots = self._table.changed()
        ids = self._table.ids(slots)
        slots = slots[np.lexsort((ids[:, 1], ids[:, 0]))]
        entries = self._unsaved_entries(slots)
        ledgers = self._unsaved_ledgers(slots)
        for start in range(0, len(slots), _TURNS_AT_A_TIME):
            yield self._rows(start, slots[start : start + _TURNS_AT_A_TIME], entries, ledgers)

    def _rows(
        self,
        start: int,
        slots: NDArray[np.int64],
        entries: _Entries,
        ledgers: Mapping[int, bytes],
    ) -> UnsavedTurns:
        ids, end = self._table.ids(slots), start + len(slots)
        turns = TurnSets(
            np.full(len(slots), self._partition, dtype=np.int64),
            ids[:, 0],
            ids[:, 1],
            np.empty(0, dtype=np.int64),
        )
        # What is stored is not kept, only that something is: -1 differs from every set.
        before = np.where(self._table.is_stored(slots), np.int64(-1), np.int64(0))
        after = self._table.values(slots, _COUNTED).astype(np.int64)
        replaced = {at - start: ledger for at, ledger in ledgers.items() if start <= at < end}
        return UnsavedTurns(turns, before, after, entries.of_places(start, end), replaced)

    def mark_saved(self) -> None:
        """All that was unsaved is stored now."""
        self._table.mark_stored(self._table.changed())
        self._entries.clear()
        self._replaced.clear()

    def forget(self, before_ms: int, room: int = 0) -> None:
        """Drop turns older than `before_ms`, and have room for some more."""
        slots = self._table.used()
        self._table.keep(slots[_times(self._table.ids(slots)) >= before_ms], room)
        self._ledgers.forget(before_ms)
        self._entries = [each for each in self._entries if _times(each[0]).max() >= before_ms]

    def close(self) -> None:
        """Give back the space of the ledgers."""
        self._ledgers.close()

    def _append(self, ids: Ids, slots: NDArray[np.int64], entries: Ragged) -> None:
        self._chain(ids, slots, entries)
        if self._saves and len(ids):
            self._entries.append((ids, entries))

    def _chain(self, ids: Ids, slots: NDArray[np.int64], entries: Ragged) -> None:
        before = self._table.values(slots, _LEDGER)
        self._table.put(slots, _LEDGER, self._ledgers.append(entries, before, _times(ids)))

    def _replace(self, hi: NDArray[np.uint64], lo: NDArray[np.uint64], ledger: bytes) -> None:
        ids = ids_of(hi, lo)
        slots = self._table.place(ids)
        self._table.put(slots, _LEDGER, np.zeros(1, dtype=np.uint64))
        if ledger:
            data = np.frombuffer(ledger, dtype=np.uint8)
            self._chain(ids, slots, Ragged(np.array([len(data)]), data))
        if self._saves:
            self._replaced.add(ids.astype(">u8").tobytes())

    def _read(self, ids: Ids) -> list[bytes]:
        slots = self._table.find(ids)
        return [self._ledgers.read(at) for at in self._table.values(slots, _LEDGER).tolist()]

    def _unsaved_entries(self, slots: NDArray[np.int64]) -> _Entries:
        if not self._entries:
            return _Entries(np.empty(0, dtype=np.int64), NOTHING.lengths, NOTHING.lengths, b"")
        places = self._places(slots, np.concatenate([ids for ids, _ in self._entries]))
        lengths = np.concatenate([entries.lengths for _, entries in self._entries])
        ends = np.cumsum(lengths)
        order = np.argsort(places, kind="stable")  # each turn's in the order they came in
        flat = b"".join([entries.data.tobytes() for _, entries in self._entries])
        return _Entries(places[order], (ends - lengths)[order], ends[order], flat)

    def _unsaved_ledgers(self, slots: NDArray[np.int64]) -> dict[int, bytes]:
        """The ledgers that were written anew, by place."""
        replaced = halves_of(b"".join(self._replaced))
        places = self._places(slots, replaced)
        ledgers = dict(zip(places.tolist(), self._read(replaced), strict=True))
        ledgers.pop(_NOWHERE, None)  # forgotten meanwhile
        return ledgers

    def _places(self, slots: NDArray[np.int64], ids: Ids) -> NDArray[np.int64]:
        """Where in `slots` each id is; _NOWHERE for a turn that was forgotten."""
        place_of = np.full(self._table.capacity + 1, _NOWHERE, dtype=np.int64)
        place_of[slots] = np.arange(len(slots))
        return np.asarray(place_of[self._table.find(ids)])  # slot -1, the last, is nowhere


def _times(ids: Ids) -> NDArray[np.int64]:
    return (ids[:, 0] >> _TIME_SHIFT).astype(np.int64)
