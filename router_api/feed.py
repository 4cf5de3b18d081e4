"""One connection to the routers and snapshots topics: from their beginning to their end, then on.

No consumer group: every replica reads everything, and positions are kept nowhere. aiokafka recovers
from most faults alone, but a broker's restart can leave it alive and stuck, so a watchdog compares
positions with end offsets. A feed with a fault is closed and replaced, never repaired.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from producer.errors import TopicMissing
from router_api.errors import RoutingError
from router_api.intake import Record
from schemas.topics import Topics

# A broker that is alive answers in milliseconds; within start's time, so that its error is seen.
_REQUEST_TIMEOUT_MS: Final = 8_000
# A goodbye needs no answer; brokers that are gone must not hold up a shutdown.
_CLOSE_TIMEOUT_S: Final = 3.0
_POLL_MS: Final = 500
# aiokafka has one request at a time for each broker. One that waits for the quiet routers topic
# alone must not keep snapshots waiting for long.
_FETCH_WAIT_MS: Final = 50
# Longer than a leader election; stuck is noticed after two of them.
WATCHDOG_INTERVAL_S: Final = 5.0


class FeedFault(RoutingError):
    """The connection is no good any more; what it has read so far is right."""


class Feed:
    """A connected consumer of both topics. `caught_up` once the end at connection is reached."""

    def __init__(
        self,
        consumer: AIOKafkaConsumer,
        starts: Mapping[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
        watchdog_interval_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Use `connect`."""
        self._consumer = consumer
        self._partitions = sorted(starts)
        self._positions = dict(starts)
        self._ends = dict(ends)
        self._watchdog_interval_s = watchdog_interval_s
        self._clock = clock
        self._next_check = clock() + watchdog_interval_s
        self._last_check: tuple[Mapping[TopicPartition, int], Mapping[TopicPartition, int]] = (
            dict(starts),
            {},
        )

    @classmethod
    async def connect(
        cls,
        bootstrap_servers: str,
        topics: Topics,
        kafka_options: Mapping[str, Any],
        watchdog_interval_s: float = WATCHDOG_INTERVAL_S,
    ) -> Self:
        """A feed at the beginning of both topics; their end offsets are taken now.

        Raises TopicMissing, or what aiokafka raises: KafkaError, OSError. Not bounded in time.
        """
        consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap_servers,
            client_id="routefold-router",
            group_id=None,
            enable_auto_commit=False,
            # A position that does not exist means a changed log: start over, don't jump.
            auto_offset_reset="none",
            isolation_level="read_committed",
            request_timeout_ms=_REQUEST_TIMEOUT_MS,
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            **kafka_options,
        )
        try:
            await consumer.start()
            partitions = await _assign(consumer, topics)
            starts = await consumer.beginning_offsets(partitions)
            for partition, offset in starts.items():
                consumer.seek(partition, offset)
            ends = await consumer.end_offsets(partitions)
        except BaseException:
            await _close(consumer)
            raise
        return cls(consumer, starts, ends, watchdog_interval_s)

    @property
    def caught_up(self) -> bool:
        """True once every position has reached the end taken at connection.

        Positions, not offsets of records: the last of them may be gone, or a transaction's marker.
        """
        return all(self._positions[each] >= end for each, end in self._ends.items())

    async def poll(self, timeout_ms: int = _POLL_MS) -> list[Record]:
        """What has come, in order within each topic; empty when nothing came in `timeout_ms`.

        Raises FeedFault, or what aiokafka raises: KafkaError, OSError. Then close the feed.
        """
        batches = await self._consumer.getmany(timeout_ms=timeout_ms)
        for partition in self._partitions:
            self._positions[partition] = await self._consumer.position(partition)
        if self._clock() >= self._next_check:
            await self._check()
            self._next_check = self._clock() + self._watchdog_interval_s
        return [record for each in self._partitions for record in batches.get(each, ())]

    async def close(self) -> None:
        """Disconnect. Bounded, whatever the brokers do."""
        await _close(self._consumer)

    async def _check(self) -> None:
        """The watchdog: a position must move unless it is at the end, and never be beyond it."""
        ends = await self._consumer.end_offsets(self._partitions)
        last_positions, last_ends = self._last_check
        for each, position in self._positions.items():
            if position > ends[each]:
                raise FeedFault(
                    f"{each.topic}-{each.partition} ends at {ends[each]}, but was read up to "
                    f"{position}: it was created anew or truncated"
                )
            if position == last_positions[each] and position < last_ends.get(each, 0):
                raise FeedFault(
                    f"{each.topic}-{each.partition} is stuck at {position}, its end is {ends[each]}"
                )
        self._last_check = dict(self._positions), ends


async def _assign(consumer: AIOKafkaConsumer, topics: Topics) -> list[TopicPartition]:
    wanted = [each for each in topics.all if each.name != topics.events]
    existing = await consumer.topics()
    for topic in wanted:
        if topic.name not in existing:
            raise TopicMissing(topic.name)
    partitions = [TopicPartition(each.name, p) for each in wanted for p in range(each.partitions)]
    consumer.assign(partitions)
    return partitions


async def _close(consumer: AIOKafkaConsumer) -> None:
    """Disconnect, bounded in time. Raises nothing but the caller's own cancellation.

    While a broker is away, stop() ends by the CancelledError of one of its own tasks and leaves the
    client open (aiokafka 0.14). In a task of its own that can't pass for a cancellation of the
    caller, which would silently end the task that keeps the state up to date.
    """
    for goodbye in (consumer.stop, consumer._client.close):
        closing = asyncio.create_task(goodbye())
        closing.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.wait({closing}, timeout=_CLOSE_TIMEOUT_S)
        if closing.cancel():
            await asyncio.wait({closing}, timeout=_CLOSE_TIMEOUT_S)
