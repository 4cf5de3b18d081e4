"""A fold that is not live, brought to where the live one is by the live writer's own code."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from consumer.errors import LogMismatch
from consumer.fold import MAX_BATCH_EVENTS
from consumer.rebuild.bounds import Range, check
from consumer.rebuild.log import Log
from consumer.rebuild.settings import RebuildSettings
from consumer.store import Store
from consumer.writer import Writer


class Follower:
    """The writer of the tables of one schema; made by `following`."""

    def __init__(self, writer: Writer, log: Log, topic: str) -> None:
        self._writer: Final = writer
        self._log: Final = log
        self._topic: Final = topic

    @property
    def positions(self) -> dict[int, int]:
        """The next offset of each partition."""
        return {p: at.next_offset for p, at in self._writer.progress.items()}

    def gap(self, targets: Mapping[int, int]) -> int:
        """How many events are missing up to these offsets."""
        at = self.positions
        return sum(max(target - at[partition], 0) for partition, target in targets.items())

    async def fold_to(self, targets: Mapping[int, int]) -> int:
        """Fold up to these next offsets; a partition that is further stays where it is.

        The number of events folded. Raises RebuildRefused where the log lacks an event, Fenced, and
        what the database driver raises; what was folded by then is whole.
        """
        at = self.positions
        wanted = {p: Range(at[p], end) for p, end in targets.items() if at[p] < end}
        if not wanted:
            return 0
        held = await self._log.held()
        for partition, its_range in wanted.items():
            check(self._topic, partition, held.get(partition, Range(0, 0)), its_range)
        folded = 0
        async for _, batch in self._log.read(wanted, MAX_BATCH_EVENTS):
            await self._writer.write(batch)
            folded += len(batch)
        if missing := self.gap(targets):
            raise LogMismatch(f"{self._topic} lacks {missing} events before {dict(targets)}")
        return folded


@asynccontextmanager
async def following(
    dsn: str,
    schema: str,
    settings: RebuildSettings,
    partitions: Iterable[int],
    log: Log,
    topic: str,
) -> AsyncIterator[Follower]:
    """Become the writer of a schema that is not live. Raises Unreachable."""
    store = await Store.connect(dsn, schema)
    try:
        writer = Writer(store, settings)
        await writer.take(partitions)
        yield Follower(writer, log, topic)
    finally:
        await store.close()
