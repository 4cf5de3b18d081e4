"""A stretch of the events topic in memory, as tables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from routefold.history.joined import join
from routefold.history.log import open_log, read_ahead
from routefold.history.position import OffsetRange, Position
from routefold.history.reactions import reactions
from routefold.history.tables import Tables, tables_of
from schemas.topics import Topics

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class History:
    """The events of a stretch of the log. Columns: routefold.history.columns.

    Every table is sorted by partition and offset. `joined` and `reactions` are made when they are
    first asked for.
    """

    turns: pl.DataFrame
    outcomes: pl.DataFrame
    configs: pl.DataFrame
    skipped: Mapping[str, int]  # records that are in no table, by reason
    records: int  # that were read, skipped ones included
    ranges: Mapping[int, OffsetRange]

    @cached_property
    def joined(self) -> pl.DataFrame:
        """Each turn with what its outcomes said."""
        return join(self.turns, self.outcomes)

    @cached_property
    def reactions(self) -> pl.DataFrame:
        """What sessions' next turns said about a turn."""
        return reactions(self.turns)


async def read_history(
    bootstrap_servers: str,
    topics: Topics,
    *,
    start: Position | None = None,
    end: Position | None = None,
    router: str | None = None,
    progress: Progress | None = None,
) -> History:
    """The events topic from `start` (None: its beginning) to `end` (None: its end now).

    With `router`, the events of that router only. Undecodable records are counted, never fatal.
    `progress(done, total)` is called with numbers of records. Raises Unreachable, Failure, Misuse.
    """
    parts: list[Tables] = []
    done = 0
    async with open_log(bootstrap_servers, topics.events) as log:
        ranges = await log.ranges(start, end)
        total = sum(map(len, ranges.values()))
        async for batch in read_ahead(log.batches(ranges)):
            parts.append(await asyncio.to_thread(tables_of, batch, router))
            done += len(batch)
            if progress is not None:
                progress(done, total)
    found = await asyncio.to_thread(Tables.joined, parts)
    return History(
        turns=found.turns,
        outcomes=found.outcomes,
        configs=found.configs,
        skipped=found.skipped,
        records=done,
        ranges=ranges,
    )
