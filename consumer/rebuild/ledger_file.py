"""Ledgers of turns on disk: appended for every outcome, and read for the few that are voided.

In memory they would be the largest part of a rebuild. The files have no names: they are gone with
the process. Entries of one turn are chained from the newest to the oldest; a file is closed when
every turn in it is beyond its attribution window.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from struct import Struct
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from consumer.ragged import Ragged

_SEGMENT_BYTES: Final = 64 << 20
_OFFSET_BITS: Final = 40
_OFFSET_MASK: Final = (1 << _OFFSET_BITS) - 1
# Of each entry: the position of the one before it, 0 for none, where in its file it is, and its
# length. Heads stand before the entries of their call, all together.
_HEAD: Final = Struct("<QQI")
_HEADS: Final = np.dtype([("before", "<u8"), ("at", "<u8"), ("length", "<u4")])

Positions = NDArray[np.uint64]


@dataclass(slots=True)
class _Segment:
    file: IO[bytes]
    size: int = 0
    newest_turn_ms: int = 0


class LedgerFile:
    """Positions are of entries, and greater than 0; they stay valid until forgotten."""

    def __init__(self) -> None:
        self._segments: dict[int, _Segment] = {}
        self._last = 0

    def append(self, entries: Ragged, before: Positions, turn_ms: NDArray[np.int64]) -> Positions:
        """Add an entry behind each of the positions `before`; their own positions.

        `turn_ms` is the time of each entry's turn. No entry may be empty.
        """
        if not len(entries.lengths):
            return np.empty(0, dtype=np.uint64)
        number, segment = self._open()
        heads = np.empty(len(entries.lengths), dtype=_HEADS)
        heads["before"], heads["length"] = before, entries.lengths
        heads["at"] = segment.size + heads.nbytes + np.cumsum(entries.lengths) - entries.lengths
        positions = segment.size + np.arange(len(heads)) * _HEADS.itemsize
        block = heads.tobytes() + entries.data.tobytes()
        _write(segment.file.fileno(), block, segment.size)
        segment.size += len(block)
        segment.newest_turn_ms = max(segment.newest_turn_ms, int(turn_ms.max()))
        return (positions + (number << _OFFSET_BITS)).astype(np.uint64)

    def read(self, position: int) -> bytes:
        """Everything from the first entry of the chain to the one at `position`; b"" for 0."""
        entries: list[bytes] = []
        while position:
            segment = self._segments[position >> _OFFSET_BITS]
            at, file = position & _OFFSET_MASK, segment.file.fileno()
            position, start, length = _HEAD.unpack(os.pread(file, _HEAD.size, at))
            entries.append(os.pread(file, length, start))
        return b"".join(reversed(entries))

    def forget(self, before_ms: int) -> None:
        """Close files in which every turn is older than `before_ms`."""
        for number, segment in list(self._segments.items()):
            if segment.newest_turn_ms < before_ms:
                segment.file.close()
                del self._segments[number]

    def close(self) -> None:
        """Give back all the space."""
        for segment in self._segments.values():
            segment.file.close()
        self._segments.clear()

    def _open(self) -> tuple[int, _Segment]:
        segment = self._segments.get(self._last)
        if segment is None or segment.size >= _SEGMENT_BYTES:
            self._last += 1
            segment = self._segments[self._last] = _Segment(
                tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - open as long as the segment
            )
        return self._last, segment


def _write(file: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written
