"""The events topic, read from here to there: every partition, in order, in bounded pieces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from consumer.records import Batch
from routefold.errors import Failure, Misuse, Unreachable
from routefold.history.position import OffsetRange, Position

# Large enough that polars' fixed costs vanish, small enough to be a few 10 MB.
PIECE_RECORDS: Final = 50_000
CONNECT_TIMEOUT_S: Final = 10.0
# A broker that is alive sends what it has in milliseconds.
STALL_S: Final = 30.0
_CLOSE_TIMEOUT_S: Final = 3.0


class Log:
    """The events topic. Made by `open_log`; one reader at a time."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, ends: Mapping[int, OffsetRange]):
        self.topic: Final = topic
        # What the log held when it was opened.
        self.ends: Final = ends
        self._consumer = consumer

    async def ranges(self, start: Position | None, end: Position | None) -> dict[int, OffsetRange]:
        """Offsets from `start` (None: the beginning) to `end` (None: the end when it was opened).

        Raises Misuse for offsets that the log does not have, and for an end before the start.
        """
        times = [at.time_ms for at in (start, end) if at is not None and at.time_ms is not None]
        if times != sorted(times):
            raise Misuse(f"the end, {end}, is before the start, {start}")
        starts, ends = await self._offsets(start), await self._offsets(end)
        ranges = {}
        for partition, whole in self.ends.items():
            # what was appended since the log was opened is not read, so it can't be the start
            first = min(starts.get(partition, whole.start), whole.end)
            last = min(ends.get(partition, whole.end), whole.end)
            if first > last:
                raise Misuse(
                    f"the end is before the start: partition {partition} from {first} to {last}"
                )
            ranges[partition] = OffsetRange(first, last)
        return ranges

    async def batches(
        self, ranges: Mapping[int, OffsetRange], records: int = PIECE_RECORDS
    ) -> AsyncGenerator[Batch, None]:
        """Everything in these ranges, in offset order within each partition."""
        left = {self._tp(p): range_ for p, range_ in ranges.items() if len(range_)}
        self._consumer.assign(list(left))
        for tp, range_ in left.items():
            self._consumer.seek(tp, range_.start)
        piece: dict[int, list[ConsumerRecord]] = {}
        held = 0
        moved_at = time.monotonic()
        while left:
            found = await self._consumer.getmany(timeout_ms=500, max_records=records - held)
            for tp, its_records in found.items():
                wanted = [record for record in its_records if record.offset < left[tp].end]
                piece.setdefault(tp.partition, []).extend(wanted)
                held += len(wanted)
            for tp in [tp for tp in left if await self._consumer.position(tp) >= left[tp].end]:
                del left[tp]
                self._consumer.pause(tp)
                moved_at = time.monotonic()
            if found:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STALL_S:
                raise _Stalled(f"nothing came for {STALL_S:.0f} s")
            if held and (held >= records or not left):
                yield Batch.of(piece)
                piece, held = {}, 0

    async def record(self, partition: int, offset: int) -> tuple[bytes | None, bytes | None] | None:
        """Key and value of the record at an offset; None where the log has none there."""
        whole = self.ends.get(partition)
        if whole is None or not whole.start <= offset < whole.end:
            return None
        found = None
        async for batch in self.batches({partition: OffsetRange(offset, offset + 1)}, records=1):
            found = batch.keys[0], batch.values[0]
        return found

    async def _offsets(self, position: Position | None) -> dict[int, int]:
        """The offset of a position by partition. Partitions that it does not bound are left out."""
        if position is None:
            return {}
        if position.offsets is not None:
            self._check(position.offsets)
            return dict(position.offsets)
        assert position.time_ms is not None
        times = {self._tp(partition): position.time_ms for partition in self.ends}
        found = await self._consumer.offsets_for_times(times)
        return {
            tp.partition: at.offset if at else self.ends[tp.partition].end
            for tp, at in found.items()
        }

    def _check(self, offsets: Mapping[int, int]) -> None:
        for partition, offset in offsets.items():
            if partition not in self.ends:
                raise Misuse(
                    f"{self.topic} has partitions 0 to {len(self.ends) - 1}, and no {partition}"
                )
            first, last = self.ends[partition]
            if not first <= offset <= last:
                raise Misuse(
                    f"partition {partition} of {self.topic} holds offsets {first} to {last}, "
                    f"{offset} is not among them"
                )

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self.topic, partition)


class _Stalled(Exception):
    """The broker is there, and sends nothing."""


@asynccontextmanager
async def open_log(bootstrap_servers: str, topic: str) -> AsyncIterator[Log]:
    """The log, for as long as the block runs.

    Raises Unreachable, also when Kafka stops answering within the block, and Failure where there is
    no such topic.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        client_id="routefold-history",
        group_id=None,
        enable_auto_commit=False,
        # An offset that the log lacks must stop us: skipping would lose events unseen.
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_bytes=32 << 20,
    )
    try:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await consumer.start()
                ends = await _ends(consumer, topic)
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unreachable(
                f"Kafka at {bootstrap_servers} can't be reached ({_reason(error)}): is it "
                "running, and is ROUTEFOLD_BOOTSTRAP_SERVERS right?"
            ) from error
        try:
            yield Log(consumer, topic, ends)
        except (KafkaError, _Stalled) as error:
            raise Unreachable(
                f"Kafka at {bootstrap_servers} stopped answering while {topic} was read "
                f"({_reason(error)}): try again"
            ) from error
    finally:
        await _close(consumer)


async def _ends(consumer: Any, topic: str) -> dict[int, OffsetRange]:
    # Asking for one topic by name could create it on the broker.
    if topic not in await consumer.topics():
        raise Failure(
            f"Kafka has no topic {topic}: is ROUTEFOLD_TOPIC_PREFIX right? `routefold init` "
            "creates the topics"
        )
    first_of_all = TopicPartition(topic, 0)
    consumer.assign([first_of_all])
    # Without a position it would be looked up, and a missing one be an error later.
    consumer.seek(first_of_all, 0)
    consumer.pause(first_of_all)
    await consumer.end_offsets([first_of_all])  # after it the topic's partitions are known
    partitions = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
    first = await consumer.beginning_offsets(partitions)
    last = await consumer.end_offsets(partitions)
    return {tp.partition: OffsetRange(first[tp], last[tp]) for tp in partitions}


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _close(consumer: AIOKafkaConsumer) -> None:
    """aiokafka's stop can wait for ever on a broker that is gone, or end in a cancellation."""
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([stopping], timeout=_CLOSE_TIMEOUT_S)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)


async def read_ahead(batches: AsyncGenerator[Batch, None]) -> AsyncGenerator[Batch, None]:
    """The same batches, each fetched while the one before it is dealt with."""
    upcoming = asyncio.ensure_future(anext(batches, None))
    try:
        while (batch := await upcoming) is not None:
            upcoming = asyncio.ensure_future(anext(batches, None))
            yield batch
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
        await batches.aclose()
