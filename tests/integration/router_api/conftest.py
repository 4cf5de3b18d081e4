"""Subscribers and services that are always stopped, a writer of state, a broker to take away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from routefold.topics_admin import ensure_topics
from router_api.service import RoutingService, wall_clock_ms
from router_api.subscriber import Subscriber
from router_api.tokens import TurnTokens
from schemas.codec import Event, encode
from schemas.events import RouterConfigured
from schemas.topics import Topics
from tests.fixtures.pipeline import eventually
from tests.fixtures.servers import Servers

TOKENS = TurnTokens(["k" * 64])


class StartSubscriber:
    """`await start_subscriber()`: a subscriber on this test's topics, started and ready."""

    def __init__(self, **defaults: Any) -> None:
        self._defaults = defaults
        self._started: list[Subscriber] = []

    async def __call__(self, *, ready: bool = True, **options: Any) -> Subscriber:
        subscriber = Subscriber(**{**self._defaults, **options})
        self._started.append(subscriber)
        await subscriber.start()
        if ready:
            assert await subscriber.wait_ready(20)
        return subscriber

    async def stop_all(self) -> None:
        for subscriber in self._started:
            await subscriber.stop()


class StartService:
    """`await start_service()`: a service on this test's topics, started and ready."""

    def __init__(self, **defaults: Any) -> None:
        self._defaults = defaults
        self._started: list[RoutingService] = []

    async def __call__(self, **options: Any) -> RoutingService:
        service = RoutingService(**{**self._defaults, **options})
        self._started.append(service)
        await service.start()
        assert await service.wait_ready(20)
        return service

    async def stop_all(self) -> None:
        for service in self._started:
            await service.stop(1.0)


class StateWriter:
    """Writes what the consumer and the API write: snapshots, progress and configurations."""

    def __init__(self, producer: AIOKafkaProducer, topics: Topics) -> None:
        self._producer = producer
        self._topics = topics

    async def publish(self, *events: Event) -> None:
        """In this order, acknowledged."""
        for event in events:
            await self.raw(self.topic_of(event), event.key, encode(event))

    async def remove(self, event: Event) -> None:
        """A tombstone for the event's key."""
        await self.raw(self.topic_of(event), event.key, None)

    async def raw(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        await self._producer.send_and_wait(topic, value, key=key)

    def topic_of(self, event: Event) -> str:
        is_config = isinstance(event, RouterConfigured)
        return self._topics.routers if is_config else self._topics.snapshots


class Cluster:
    """The topics behind the tests: their settings, and what they hold."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._bootstrap_servers = bootstrap_servers

    async def alter(self, topic: str, **settings: str) -> None:
        """Change settings of a topic, dots as underscores; the others go back to defaults."""
        named = {name.replace("_", "."): value for name, value in settings.items()}
        async with self._admin() as admin:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, named)])

    async def recreate(self, topic: str, topics: Topics) -> None:
        """Delete a topic and create it anew, empty."""
        async with self._admin() as admin:
            await admin.delete_topics([topic])

            async def gone() -> bool:
                return topic not in await admin.list_topics()

            await eventually(gone)
        await ensure_topics(self._bootstrap_servers, topics)

    async def offsets(self, topic: str) -> list[int]:
        """Offsets of the records that are left in a topic of one partition."""
        partition = TopicPartition(topic, 0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            found: list[int] = []
            while await consumer.position(partition) < end:
                batches = await consumer.getmany(timeout_ms=100)
                found += [record.offset for record in batches.get(partition, ())]
            return found
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def _admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        await admin.start()
        try:
            yield admin
        finally:
            await admin.close()


@pytest.fixture
async def start_subscriber(stack: Servers, topics: Topics) -> AsyncIterator[StartSubscriber]:
    start = StartSubscriber(
        bootstrap_servers=stack.bootstrap_servers,
        topics=topics,
        now_ms=wall_clock_ms,
        watchdog_interval_s=1.0,
    )
    yield start
    await start.stop_all()


@pytest.fixture
async def start_service(stack: Servers, topics: Topics) -> AsyncIterator[StartService]:
    start = StartService(
        bootstrap_servers=stack.bootstrap_servers, topics=topics, tokens=TOKENS, source="test"
    )
    yield start
    await start.stop_all()


@pytest.fixture
async def write(stack: Servers, topics: Topics) -> AsyncIterator[StateWriter]:
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers, acks="all")
    await producer.start()
    yield StateWriter(producer, topics)
    await producer.stop()


@pytest.fixture
def cluster(stack: Servers) -> Cluster:
    return Cluster(stack.bootstrap_servers)
