"""The consumer as a process: connections, metrics endpoint, and the worker between them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import psycopg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from consumer.errors import SchemaOutdated, Unreachable
from consumer.health import serve_metrics
from consumer.metrics import ConsumerMetrics
from consumer.migrate import require_current
from consumer.store import Store
from consumer.succession import succeed
from consumer.told import read_told
from consumer.worker import SESSION_TIMEOUT_MS, Worker
from schemas.topics import Topics

DEFAULT_GROUP = "routefold-consumer"
CONNECT_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 3.0


async def run_consumer(
    *,
    bootstrap_servers: str,
    postgres_dsn: str,
    topics: Topics,
    group_id: str = DEFAULT_GROUP,
    metrics_host: str = "127.0.0.1",
    metrics_port: int | None = None,
    stop: asyncio.Event,
) -> None:
    """Fold until `stop` is set. Raises ConsumerError, whose message is one clear line.

    With a `metrics_port` (0: a free one) `/metrics` and `/healthz` are served on it.
    """
    await asyncio.to_thread(require_current, postgres_dsn)
    metrics = ConsumerMetrics(CollectorRegistry())
    async with (
        _producer(bootstrap_servers) as producer,
        _consumer(bootstrap_servers, group_id) as consumer,
        serve_metrics(metrics.registry, metrics_host, metrics_port),
    ):
        worker = Worker(
            consumer=consumer,
            producer=producer,
            topics=topics,
            connect=lambda: _live_store(bootstrap_servers, postgres_dsn, topics),
            metrics=metrics,
        )
        try:
            await worker.run(stop)
        except psycopg.errors.UndefinedTable as error:
            raise SchemaOutdated(
                "the tables have gone from the database while they were in use: run `routefold "
                "init`, then start the consumer, which folds the log again"
            ) from error


async def _live_store(bootstrap_servers: str, postgres_dsn: str, topics: Topics) -> Store:
    """The live tables, as a generation that routers follow. Raises Unreachable."""
    try:
        async with _reader(bootstrap_servers) as reader, asyncio.timeout(CONNECT_TIMEOUT_S):
            told = await read_told(reader, topics)
    except (KafkaError, TimeoutError) as error:
        raise Unreachable(_not_reachable(bootstrap_servers)) from error
    await asyncio.to_thread(succeed, postgres_dsn, told)
    return await Store.connect_live(postgres_dsn)


@contextlib.asynccontextmanager
async def _producer(bootstrap_servers: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers,
        client_id="routefold-consumer",
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        linger_ms=0,
        max_batch_size=1 << 20,
        max_request_size=8 << 20,
        request_timeout_ms=10_000,
    )
    await _start(producer, bootstrap_servers)
    try:
        yield producer
    finally:
        await _stop(producer)


@contextlib.asynccontextmanager
async def _consumer(bootstrap_servers: str, group_id: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        client_id="routefold-consumer",
        group_id=group_id,
        enable_auto_commit=False,
        # Positions come from Postgres. An offset that the log lacks must stop us, never be skipped.
        auto_offset_reset="none",
        isolation_level="read_committed",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=SESSION_TIMEOUT_MS // 3,
        max_partition_fetch_bytes=4 << 20,
        fetch_max_bytes=16 << 20,
        fetch_max_wait_ms=100,
    )
    await _start(consumer, bootstrap_servers)
    try:
        yield consumer
    finally:
        await _stop(consumer)


@contextlib.asynccontextmanager
async def _reader(bootstrap_servers: str) -> AsyncIterator[AIOKafkaConsumer]:
    """For a look at a topic, outside the group."""
    reader = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        client_id="routefold-consumer",
        enable_auto_commit=False,
        # The log cleaner may move its beginning while we look.
        auto_offset_reset="earliest",
    )
    await _start(reader, bootstrap_servers)
    try:
        yield reader
    finally:
        await _stop(reader)


async def _start(client: AIOKafkaProducer | AIOKafkaConsumer, bootstrap_servers: str) -> None:
    try:
        await asyncio.wait_for(client.start(), timeout=CONNECT_TIMEOUT_S)
    except (KafkaError, OSError, TimeoutError) as error:
        await _stop(client)
        raise Unreachable(_not_reachable(bootstrap_servers)) from error


def _not_reachable(bootstrap_servers: str) -> str:
    return (
        f"Kafka at {bootstrap_servers} is not reachable: is it running, and is "
        "ROUTEFOLD_BOOTSTRAP_SERVERS right?"
    )


async def _stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """aiokafka's stop can wait for ever on a broker that is gone, or end in a cancellation."""
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait([stopping], timeout=STOP_TIMEOUT_S)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
