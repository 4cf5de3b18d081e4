"""Each partition of a log as far as is asked for, from batches that hold all partitions."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

from consumer.records import Batch


class Record(NamedTuple):
    """A record of one partition, as the fold reads it (consumer.records.LogRecord)."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class ReadAhead:
    """Takes batches as they are needed, and keeps what they hold of other partitions.

    Partitions are read side by side, so little is kept where they are asked for side by side.
    """

    def __init__(self, batches: AsyncIterator[Batch], partitions: Iterable[int]) -> None:
        self._batches: Final = batches
        self._waiting: Final[dict[int, deque[Record]]] = {p: deque() for p in partitions}
        self._ended = False

    async def up_to(self, partition: int, offset: int) -> AsyncIterator[list[Record]]:
        """The records of a partition before `offset`, or the end, that were not given out yet, in
        order and in pieces."""
        waiting = self._waiting[partition]
        while True:
            piece = []
            while waiting and waiting[0].offset < offset:
                piece.append(waiting.popleft())
            if piece:
                yield piece
            # Only a record at or behind it tells that the offset is reached: it may be a gap.
            if waiting or self._ended or (piece and piece[-1].offset == offset - 1):
                return
            await self._next()

    async def _next(self) -> None:
        batch = await anext(self._batches, None)
        if batch is None:
            self._ended = True
            return
        columns = (batch.offset.tolist(), batch.log_time_ms.tolist(), batch.keys, batch.values)
        for partition, *fields in zip(batch.partition.tolist(), *columns, strict=True):
            self._waiting[partition].append(Record(*fields))
