"""The log into an archive, or into one that exists what is new of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from routefold.errors import Misuse
from routefold.history.addition import Addition
from routefold.history.archive import Archive
from routefold.history.errors import LogDiffers
from routefold.history.log import Log, open_log, read_ahead
from routefold.history.manifest import Manifest
from routefold.history.position import OffsetRange, Position
from routefold.history.workspace import open_workspace
from schemas.topics import Topics

T = TypeVar("T")


class Progress(Protocol):
    """Told how far an export is."""

    def reading(self, done: int, total: int) -> None:
        """Records read."""

    def joining(self, done: int, total: int) -> None:
        """Days joined."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export added, and what the archive holds now."""

    records: int  # of the log that are new in it
    rows: Mapping[str, int]  # written, by table; `joined`: those of all days that were touched
    skipped: Mapping[str, int]  # of the new records: those that are in no table, by reason
    manifest: Manifest


async def export(
    bootstrap_servers: str,
    topics: Topics,
    directory: Path,
    *,
    start: Position | None = None,
    end: Position | None = None,
    router: str | None = None,
    progress: Progress,
) -> Exported:
    """Write the log from `start` to `end` into an archive; where there is one, what it lacks.

    `start` is for the first export; later ones go on where the archive ends, and refuse a `start`
    that would leave a gap. With `router` only that router's tables are written, and no event files.
    Memory does not grow with the log. Raises Misuse, Unreachable, Failure, ArchiveError.
    """
    with open_workspace(directory) as space:
        before = space.before
        if before is not None:
            _require_same(before, topics, router)
        async with open_log(bootstrap_servers, topics.events) as log:
            ranges = await _ranges(log, before, start, end)
            starts = {partition: range_.start for partition, range_ in ranges.items()}
            addition = Addition(space, topics.events, router, starts)
            total = sum(map(len, ranges.values()))
            async for batch in read_ahead(log.batches(ranges)):
                await _to_its_end(partial(addition.add, batch), addition.give_up)
                progress.reading(addition.records, total)
        if before is not None and not addition.records:
            manifest = before.manifest
        else:
            manifest = await _to_its_end(
                partial(addition.commit, progress.joining), addition.give_up
            )
    return Exported(addition.records, addition.rows, dict(addition.skipped), manifest)


def _require_same(before: Archive, topics: Topics, router: str | None) -> None:
    held = before.manifest
    if held.topic != topics.events:
        raise Misuse(
            f"{before.directory} is an archive of {held.topic}, not of {topics.events}: name "
            "another directory, or correct ROUTEFOLD_TOPIC_PREFIX"
        )
    if held.router != router:
        has, wanted = (f"--router {r}" if r else "without --router" for r in (held.router, router))
        raise Misuse(f"{before.directory} was exported {has}, now {wanted}: name another directory")


async def _ranges(
    log: Log, before: Archive | None, start: Position | None, end: Position | None
) -> dict[int, OffsetRange]:
    """What to read of each partition."""
    asked = await log.ranges(start, end)
    if before is None:
        return asked
    await _require_continuation(log, before)
    ranges = {}
    for partition, held in before.ranges.items():
        first, last = asked[partition]
        if start is not None and not held.start <= first <= held.end:
            raise Misuse(
                f"{before.directory} holds offsets {held.start} to {held.end} of partition "
                f"{partition}, and goes on from there; from {first} on is another archive: leave "
                "--from out, or name another directory"
            )
        ranges[partition] = OffsetRange(held.end, max(held.end, last))
    return ranges


async def _require_continuation(log: Log, before: Archive) -> None:
    """The log must be the archived one: its partitions, its ends, and each one's last record."""
    if log.ends.keys() != before.ranges.keys():
        raise LogDiffers(
            f"{log.topic} has {len(log.ends)} partitions, {before.directory} has "
            f"{len(before.ranges)}: it is an archive of another log"
        )
    for partition, held in before.ranges.items():
        there = log.ends[partition]
        if not there.start <= held.end <= there.end:
            raise LogDiffers(
                f"{before.directory} ends at offset {held.end} of partition {partition}, but "
                f"{log.topic} holds {there.start} to {there.end}: it is an archive of another "
                "log, or the log has lost records"
            )
        last = before.last_record(partition)
        if last is not None and last[0] >= there.start:
            offset, *record = last
            if await log.record(partition, offset) != tuple(record):
                raise LogDiffers(
                    f"offset {offset} of partition {partition} is another record in {log.topic} "
                    f"than in {before.directory}: it is an archive of another log"
                )


async def _to_its_end(work: Callable[[], T], give_up: Callable[[], None]) -> T:
    """Run blocking work in a thread. A cancellation is told to it and waits for its end: nothing
    must be written any more when the workspace is tidied up."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        give_up()
        await asyncio.wait({running})
        running.exception()  # GivenUp, most likely; whoever cancelled does not want to know
        raise
