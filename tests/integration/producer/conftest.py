"""Publishers that are always stopped, a reader of what they wrote, and a broker to take away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from producer.publisher import Publisher
from schemas.codec import decode
from schemas.events import Outcome, Turn
from schemas.topics import Topics
from tests.fixtures.servers import Servers


class StartPublisher:
    """`await start_publisher(spool=...)`: a started publisher on this test's topics."""

    def __init__(self, **defaults: Any) -> None:
        self._defaults = defaults
        self._started: list[Publisher] = []

    async def __call__(self, **options: Any) -> Publisher:
        publisher = Publisher(**{**self._defaults, **options})
        self._started.append(publisher)
        await publisher.start()
        return publisher

    async def stop_all(self) -> None:
        for publisher in self._started:
            await publisher.stop(timeout_s=1.0)


class Log:
    """What this test's topics hold."""

    def __init__(self, bootstrap_servers: str, topics: Topics) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics

    async def records(self, topic: str | None = None) -> list[ConsumerRecord]:
        """Every record of a topic, events by default, up to its present end."""
        name = topic or self._topics.events
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers, enable_auto_commit=False
        )
        await consumer.start()
        try:
            cluster = await consumer._client.fetch_all_metadata()
            partitions = [TopicPartition(name, p) for p in cluster.partitions_for_topic(name)]
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            records: list[ConsumerRecord] = []
            while any([await consumer.position(p) < ends[p] for p in partitions]):
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    records += batch
            return records
        finally:
            await consumer.stop()

    async def event_ids(self) -> list[bytes]:
        """The ids of all turns and outcomes, duplicates included."""
        events = [decode(record.value) for record in await self.records()]
        return [event.event_id for event in events if isinstance(event, Turn | Outcome)]

    async def limit_message_bytes(self, limit: int) -> None:
        """Have the broker refuse batches of events above `limit` bytes."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        await admin.start()
        try:
            settings = {"max.message.bytes": str(limit)}
            resource = ConfigResource(ConfigResourceType.TOPIC, self._topics.events, settings)
            await admin.alter_configs([resource])
        finally:
            await admin.close()


@pytest.fixture
async def start_publisher(stack: Servers, topics: Topics) -> AsyncIterator[StartPublisher]:
    start = StartPublisher(bootstrap_servers=stack.bootstrap_servers, topics=topics, spool=None)
    yield start
    await start.stop_all()


@pytest.fixture
def log(stack: Servers, topics: Topics) -> Log:
    return Log(stack.bootstrap_servers, topics)
