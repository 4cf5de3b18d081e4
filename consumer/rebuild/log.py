"""The events topic, read by range: what it holds, and the records of some partitions in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from consumer.errors import LogMismatch, Unreachable
from consumer.rebuild.bounds import Range
from consumer.rebuild.errors import RebuildRefused
from consumer.records import Batch, LogRecord

CONNECT_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 3.0
# aiokafka goes on trying while a broker is away. A rebuild can be begun again at any time, so it is
# better to end and say so than to wait for ever.
STALL_S: Final = 60.0
_POLL_MS: Final = 200


class Log:
    """One topic; made by `open_log`."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str) -> None:
        self._consumer = consumer
        self.topic: Final = topic
        self._partitions: list[TopicPartition] = []

    async def held(self) -> dict[int, Range]:
        """The offsets that each partition holds. Raises RebuildRefused without such a topic."""
        if not self._partitions:
            await self._find_partitions()
        starts = await self._consumer.beginning_offsets(self._partitions)
        ends = await self._consumer.end_offsets(self._partitions)
        return {tp.partition: Range(starts[tp], ends[tp]) for tp in self._partitions}

    async def _find_partitions(self) -> None:
        # Asking for one topic by name could create it on the broker.
        if self.topic not in await self._consumer.topics():
            raise RebuildRefused(
                f"there is no topic {self.topic}: is ROUTEFOLD_TOPIC_PREFIX right?"
            )
        first = TopicPartition(self.topic, 0)
        self._consumer.assign([first])
        self._consumer.pause(first)
        self._consumer.seek(first, 0)
        await self._consumer.end_offsets([first])  # behind it the topic is known
        partitions = sorted(self._consumer.partitions_for_topic(self.topic))
        self._partitions = [TopicPartition(self.topic, partition) for partition in partitions]

    async def offsets_at(self, time_ms: int, held: Mapping[int, Range]) -> dict[int, int]:
        """In each partition the first offset appended at that time or later; else its end."""
        wanted = {TopicPartition(self.topic, partition): time_ms for partition in held}
        found = await self._consumer.offsets_for_times(wanted)
        return {
            tp.partition: at.offset if at is not None else held[tp.partition].end
            for tp, at in found.items()
        }

    async def read(
        self, ranges: Mapping[int, Range], max_records: int
    ) -> AsyncIterator[tuple[int, Batch]]:
        """Records of these partitions, each in order, some of one partition at a time.

        A partition is over when a piece of it reaches its end, or the log has nothing more before
        it. Raises LogMismatch where the log lacks an offset, Unreachable after a minute of silence.
        """
        left = {
            TopicPartition(self.topic, partition): wanted
            for partition, wanted in ranges.items()
            if wanted.start < wanted.end
        }
        self._consumer.assign(list(left))
        for tp, wanted in left.items():
            self._consumer.seek(tp, wanted.start)
        moved_at = time.monotonic()
        while left:
            for tp, records in (await self._poll(max_records)).items():
                while records and records[-1].offset >= left[tp].end:
                    records.pop()
                if records:
                    yield tp.partition, Batch.of({tp.partition: records})
                moved_at = time.monotonic()  # also after a rest of whoever folds them
            if time.monotonic() - moved_at > STALL_S:
                raise Unreachable(
                    f"Kafka has sent no event of {self.topic} for {STALL_S:.0f} s, and "
                    f"{len(left)} partitions are not at their end: is it running?"
                )
            await self._finish(left)

    async def _poll(self, max_records: int) -> dict[TopicPartition, list[LogRecord]]:
        try:
            return dict(await self._consumer.getmany(timeout_ms=_POLL_MS, max_records=max_records))
        except OffsetOutOfRangeError as error:
            raise LogMismatch(
                f"{self.topic} no longer holds the offsets to go on from: was it emptied or "
                "created anew while it was read?"
            ) from error

    async def _finish(self, left: dict[TopicPartition, Range]) -> None:
        """Stop reading partitions whose position has reached their end."""
        for tp in list(left):
            if await self._consumer.position(tp) >= left[tp].end:
                del left[tp]
                self._consumer.pause(tp)


@asynccontextmanager
async def open_log(bootstrap_servers: str, topic: str) -> AsyncIterator[Log]:
    """A connection to Kafka. Raises Unreachable when it does not answer."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        client_id="routefold-rebuild",
        enable_auto_commit=False,
        # An offset that the log lacks must end the rebuild, never be skipped.
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=4 << 20,
        fetch_max_bytes=16 << 20,
        fetch_max_wait_ms=100,
    )
    try:
        try:
            await asyncio.wait_for(consumer.start(), timeout=CONNECT_TIMEOUT_S)
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unreachable(
                f"Kafka at {bootstrap_servers} is not reachable: is it running, and is "
                "ROUTEFOLD_BOOTSTRAP_SERVERS right?"
            ) from error
        try:
            yield Log(consumer, topic)
        except KafkaError as error:
            raise Unreachable(f"Kafka at {bootstrap_servers} failed: {error!r}") from error
    finally:
        await _stop(consumer)


async def _stop(consumer: AIOKafkaConsumer) -> None:
    """aiokafka's stop can wait for ever on a broker that is gone, or end in a cancellation."""
    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([stopping], timeout=STOP_TIMEOUT_S)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
