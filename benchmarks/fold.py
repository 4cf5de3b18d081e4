"""How fast is the whole consumer: bytes in Kafka to evidence committed in Postgres?

A million events (half turns, half outcomes with a completion and a score, 8 arms, 7 request types)
are in the topic before the consumer starts; Kafka, Postgres and the consumer share the machine.
The rate counts from the first commit to the last. Memory is the consumer's resident set, sampled
over that time: flat means that nothing is kept per event. In the case "with signals" every turn
belongs to a session that has to be followed, as with the default rewards.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping

import psutil
import psycopg
from aiokafka import AIOKafkaProducer

from benchmarks.report import print_figure
from benchmarks.servers import Bench, bench_servers
from schemas.codec import encode
from schemas.events import Outcome, Turn
from schemas.headers import cloud_event_headers
from schemas.request_types import REQUEST_TYPES
from schemas.router_config import SIGNAL_REWARDS
from tests.factories import config, configured, traffic
from tests.fixtures.pipeline import partition_of, publish

EVENTS = int(os.environ.get("BENCH_EVENTS", "1000000"))
ARMS = tuple(f"model-{i}" for i in range(8))


SCORES_ONLY = {"quality": 1.0}


def run() -> None:
    _measure(f"{EVENTS} events", SCORES_ONLY)
    _measure(f"{EVENTS} events, with signals", {**SCORES_ONLY, **SIGNAL_REWARDS})


def _measure(case: str, rewards: Mapping[str, float]) -> None:
    with bench_servers() as bench:
        asyncio.run(fill(bench, EVENTS, rewards))
        with bench.routefold("consume") as process:
            rate, samples = _watch(bench, psutil.Process(process.pid))
    print_figure("fold", case, "throughput", rate, "events/s")
    # the first quarter, some two seconds, is start-up: first batches, the allocator's arenas
    steady = samples[len(samples) // 4 :]
    middle = sorted(steady)[len(steady) // 2]
    print_figure("fold", case, "consumer memory, median", middle / 2**20, "MiB")
    spread = max(abs(max(steady) - middle), abs(middle - min(steady))) / middle
    print_figure("fold", case, "consumer memory, largest departure", spread, "share")


async def fill(bench: Bench, count: int, rewards: Mapping[str, float], step_ms: int = 2) -> None:
    """Write the events as the publisher does, with keys, headers and lz4. Turns are `step_ms`
    apart and end now, whatever time it takes to write them."""
    now = int(time.time() * 1000)
    begun = now - count // 2 * step_ms
    known = configured(config(arms=ARMS, rewards=dict(rewards)), at_ms=begun)
    await publish(bench.bootstrap_servers, bench.topics, [known])
    producer = AIOKafkaProducer(
        bootstrap_servers=bench.bootstrap_servers, acks="all", compression_type="lz4"
    )
    await producer.start()
    events = traffic(
        count // 2,
        random.Random(1),
        start_ms=begun,
        step_ms=step_ms,
        arms=ARMS,
        request_types=REQUEST_TYPES,
    )
    try:
        for chunk in _chunks(events, 10_000):
            await _send(producer, bench, chunk)
    finally:
        await producer.stop()


def _chunks(events: Iterable[Turn | Outcome], size: int) -> Iterator[tuple[Turn | Outcome, ...]]:
    source = iter(events)
    while chunk := tuple(itertools.islice(source, size)):
        yield chunk


async def _send(producer: AIOKafkaProducer, bench: Bench, events: Iterable[Turn | Outcome]) -> None:
    topic, partitions = bench.topics.events, bench.topics.event_partitions
    sent = []
    batches = {partition: producer.create_batch() for partition in range(partitions)}
    for event in events:
        partition = partition_of(event.key, partitions)
        record = {"key": event.key, "value": encode(event), "timestamp": None}
        headers = cloud_event_headers(event)
        if batches[partition].append(**record, headers=headers) is None:
            sent.append(await producer.send_batch(batches[partition], topic, partition=partition))
            batches[partition] = producer.create_batch()
            batches[partition].append(**record, headers=headers)
    for partition, batch in batches.items():
        if batch.record_count():
            sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)


def _watch(bench: Bench, process: psutil.Process) -> tuple[float, list[int]]:
    """Events per second, and the consumer's memory over time."""
    query = "SELECT coalesce(sum(folded), 0) FROM routefold.partition_progress"
    samples: list[int] = []
    first: tuple[float, int] | None = None
    with psycopg.connect(bench.postgres_dsn, autocommit=True) as connection:
        while True:
            row = connection.execute(query).fetchone()
            folded, now = int(row[0]) if row else 0, time.monotonic()
            if folded and first is None:
                first = now, folded
            if first is not None:
                samples.append(process.memory_info().rss)
            if folded >= EVENTS and first is not None:
                return (folded - first[1]) / (now - first[0]), samples
            time.sleep(0.1)
