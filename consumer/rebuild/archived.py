"""What an archive holds of the log, and the log behind it: read as one.

An archive holds each partition's records from some offset to another, with their bytes, offsets
and append times as Kafka had them. So folding it, and the log from its end on, is folding the log;
what the log has deleted meanwhile does not matter.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import NamedTuple, Protocol

from consumer.rebuild.bounds import Bound, Range
from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.log import Log
from consumer.records import Batch


class Last(NamedTuple):
    """The last record of a partition of an archive."""

    offset: int
    key: bytes | None
    value: bytes | None


class Archive(Protocol):
    """An archive of an events topic. Passed to other processes. All raise RebuildRefused where it
    is damaged."""

    @property
    def name(self) -> str:
        """What to call it in messages."""

    @property
    def topic(self) -> str: ...

    @property
    def ranges(self) -> Mapping[int, Range]:
        """What it holds, by partition."""

    def batches(self, partition: int, wanted: Range, records: int) -> Iterator[Batch]:
        """The records of a range within what it holds, in order, up to `records` at a time."""

    def last(self, partition: int) -> Last | None:
        """The last record of a partition; None where it has none."""

    def offset_at(self, partition: int, time_ms: int) -> int | None:
        """The first offset appended at that time or later; None where all are older."""


async def held(log: Log, archive: Archive | None) -> dict[int, Range]:
    """The offsets that there are of each partition, in the archive or in the log.

    Raises RebuildRefused where the log does not go on where the archive ends.
    """
    in_log = await log.held()
    if archive is None:
        return in_log
    if archive.topic != log.topic:
        raise RebuildRefused(
            f"{archive.name} is an archive of {archive.topic}, not of {log.topic}: name another, "
            "or correct ROUTEFOLD_TOPIC_PREFIX"
        )
    if archive.ranges.keys() != in_log.keys():
        raise RebuildRefused(
            f"{log.topic} has {len(in_log)} partitions, {archive.name} has {len(archive.ranges)}: "
            "it is an archive of another log"
        )
    for partition, there in in_log.items():
        await _require_continuation(log, archive, partition, there)
    return {
        partition: Range(min(there.start, archive.ranges[partition].start), there.end)
        for partition, there in in_log.items()
    }


async def _require_continuation(log: Log, archive: Archive, partition: int, there: Range) -> None:
    end = archive.ranges[partition].end
    where = f"partition {partition} of {log.topic}"
    if end < there.start:
        raise RebuildRefused(
            f"{archive.name} ends at offset {end} of partition {partition}, but {where} begins at "
            f"{there.start}: what was between is in neither. Rebuild from there with --from, "
            "without the archive"
        )
    last = archive.last(partition)
    if end > there.end or (last is not None and last.offset >= there.end):
        raise RebuildRefused(
            f"{archive.name} ends at offset {end} of partition {partition}, but {where} ends at "
            f"{there.end}: it is an archive of another log, or the log has lost records"
        )
    if last is None or last.offset < there.start:
        return
    async for _, batch in log.read({partition: Range(last.offset, last.offset + 1)}, 1):
        if last == (int(batch.offset[0]), batch.keys[0], batch.values[0]):
            return
    raise RebuildRefused(
        f"offset {last.offset} of {where} is another record than in {archive.name}: it is an "
        "archive of another log"
    )


async def offsets_at(
    log: Log, archive: Archive | None, bound: Bound, in_log: Mapping[int, Range]
) -> dict[int, int]:
    """In each partition the first offset appended at the bound's time or later, else its end;
    nothing where the bound is no time."""
    if bound.time_ms is None:
        return {}
    found = await log.offsets_at(bound.time_ms, in_log)
    for partition in found if archive is not None else ():
        assert archive is not None
        at = archive.offset_at(partition, bound.time_ms)
        if at is not None:
            found[partition] = at
    return found


async def read(
    log: Log, archive: Archive | None, ranges: Mapping[int, Range], max_records: int
) -> AsyncIterator[tuple[int, Batch]]:
    """As `Log.read`, from the archive as far as it goes, one partition after the other."""
    left = dict(ranges)
    for partition, wanted in ranges.items() if archive is not None else ():
        assert archive is not None
        in_archive = archive.ranges[partition]
        end = min(wanted.end, in_archive.end)
        if not in_archive.start <= wanted.start < end:
            continue
        for batch in archive.batches(partition, Range(wanted.start, end), max_records):
            yield partition, batch
            await asyncio.sleep(0)  # others must get their turn
        left[partition] = Range(end, wanted.end)
    async for partition, batch in log.read(left, max_records):
        yield partition, batch
