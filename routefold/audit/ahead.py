"""Each partition of a log as far as is asked for, from batches that hold all partitions."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import Final

import numpy as np

from consumer.records import Batch


class ReadAhead:
    """Takes batches as they are needed, and keeps what they hold of other partitions.

    Partitions are read side by side, so little is kept where they are asked for side by side.
    """

    def __init__(self, batches: AsyncIterator[Batch], partitions: Iterable[int]) -> None:
        self._batches: Final = batches
        self._waiting: Final[dict[int, deque[Batch]]] = {p: deque() for p in partitions}
        self._ended = False

    async def up_to(self, partition: int, offset: int) -> AsyncIterator[Batch]:
        """The records of a partition before `offset`, or the end, that were not given out yet, in
        order and in pieces."""
        waiting = self._waiting[partition]
        while True:
            while waiting:
                piece = waiting.popleft()
                before = int(np.searchsorted(piece.offset, offset))
                if before < len(piece):
                    waiting.appendleft(piece[before:])
                if before:
                    yield piece[:before]
                # Only a record at or behind it tells that the offset is reached: it may be a gap.
                if before < len(piece) or int(piece.offset[-1]) == offset - 1:
                    return
            if self._ended:
                return
            await self._next()

    async def _next(self) -> None:
        batch = await anext(self._batches, None)
        if batch is None:
            self._ended = True
            return
        for partition, rows in batch.rows_by_partition().items():
            self._waiting[partition].append(batch[rows])
