"""The subscriber on a real log: compaction, transactions, restarts and all."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings

import pytest
import structlog
from aiokafka import AIOKafkaProducer

from routefold.stack.ports import choose
from router_api.errors import Unavailable
from router_api.routing.state import RouterState
from router_api.service import wall_clock_ms
from router_api.subscriber import Subscriber
from schemas.codec import encode
from schemas.events import Progress
from schemas.snapshot import Snapshot
from schemas.topics import Topics
from tests.factories import config, configured
from tests.fixtures.broker import Broker
from tests.fixtures.pipeline import eventually
from tests.fixtures.servers import Servers
from tests.integration.router_api.conftest import Cluster, StartSubscriber, StateWriter
from tests.snapshots import observed, snapshot

pytestmark = pytest.mark.integration


def state(subscriber: Subscriber, router: str = "r") -> RouterState:
    return subscriber.directory.state(router)


def version(subscriber: Subscriber, request_type: str = "general") -> str:
    return state(subscriber).of(request_type).read().version


async def shows(subscriber: Subscriber, expected: str, request_type: str = "general") -> None:
    """Wait until a type's version is the expected one."""
    await eventually(lambda: version(subscriber, request_type) == expected)


async def test_empty_topics_are_ready_at_once(start_subscriber: StartSubscriber) -> None:
    subscriber = await start_subscriber()
    assert subscriber.ready
    assert dict(subscriber.directory.routers) == {}


async def test_ready_only_after_everything_written_before(
    start_subscriber: StartSubscriber, write: StateWriter
) -> None:
    last = snapshot(observed("a", [1.0]), partition=3, source_offset=500)
    await write.publish(
        configured(config("r")), *(snapshot(source_offset=i) for i in range(1, 500)), last
    )

    subscriber = await start_subscriber(ready=False)
    assert not subscriber.ready
    assert await subscriber.wait_ready(20)

    assert subscriber.directory.get("r").version == 1
    assert version(subscriber) == "499.-.-.500"


async def test_tails_what_comes_later(
    start_subscriber: StartSubscriber, write: StateWriter
) -> None:
    subscriber = await start_subscriber()

    await write.publish(snapshot(observed("a", [1.0]), source_offset=7))
    await shows(subscriber, "7.-.-.-")
    await write.publish(configured(config("late")))
    await eventually(lambda: "late" in subscriber.directory.routers)
    await write.publish(
        Progress(
            partition=0,
            epoch=1,
            next_offset=8,
            folded=7,
            duplicates=0,
            late=0,
            dead=6,
            stream_time_ms=0,
        )
    )
    await eventually(lambda: subscriber.directory.progress.dead == 6)


async def test_tombstones_remove(start_subscriber: StartSubscriber, write: StateWriter) -> None:
    share, router = snapshot(observed("a", [1.0])), configured(config("r"))
    await write.publish(share, snapshot(partition=1), router)
    subscriber = await start_subscriber()

    await write.remove(share)
    await write.remove(router)

    await shows(subscriber, "-.1.-.-")
    await eventually(lambda: "r" not in subscriber.directory.routers)


async def test_fenced_writer_is_ignored_warm_and_cold(
    start_subscriber: StartSubscriber, write: StateWriter
) -> None:
    good = snapshot(observed("a", [1.0]), epoch=2, source_offset=5)
    zombie = snapshot(observed("a", [0.0]), epoch=1, source_offset=99)
    warm = await start_subscriber()
    await write.publish(good)
    await shows(warm, "5.-.-.-")

    await write.publish(zombie, snapshot(request_type="writing"))

    await shows(warm, "1.-.-.-", "writing")
    cold = await start_subscriber()
    assert version(warm) == version(cold) == "5.-.-.-"
    assert state(warm).digest() == state(cold).digest()


async def test_cold_start_from_a_compacted_log_equals_the_warm_state(
    start_subscriber: StartSubscriber, write: StateWriter, cluster: Cluster, topics: Topics
) -> None:
    await cluster.alter(
        topics.snapshots,
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.01",
        delete_retention_ms="100",
    )
    warm = await start_subscriber()
    gone = snapshot(observed("a", [0.0]), request_type="writing")
    await write.publish(gone)
    for position in range(1, 40):
        await write.publish(
            snapshot(observed("a", [1.0] * position), source_offset=position),
            snapshot(observed("b", [0.5] * position), partition=2, source_offset=position),
        )
    await write.remove(gone)

    async def compacted() -> bool:
        # Only closed segments are cleaned, and a record closes the one before it.
        await asyncio.sleep(0.2)
        await write.publish(snapshot(request_type="factual_lookup", source_offset=wall_clock_ms()))
        offsets = await cluster.offsets(topics.snapshots)
        return offsets[0] > 0 and 79 not in offsets  # 79: the tombstone

    await eventually(compacted, timeout_s=90)
    cold = await start_subscriber()

    await shows(warm, version(cold, "factual_lookup"), "factual_lookup")
    assert version(cold) == version(warm) == "39.-.39.-"
    assert version(cold, "writing") == version(warm, "writing") == "-.-.-.-"
    assert state(cold).digest() == state(warm).digest()


async def test_markers_and_aborted_transactions_do_not_hold_up_readiness(
    stack: Servers, topics: Topics, start_subscriber: StartSubscriber
) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=stack.bootstrap_servers, transactional_id=topics.prefix
    )
    await producer.start()
    try:
        committed = snapshot(observed("a", [1.0]), source_offset=1)
        async with producer.transaction():
            await producer.send(topics.snapshots, encode(committed), key=committed.key)
        aborted = snapshot(observed("a", [0.0]), source_offset=2)
        await producer.begin_transaction()
        await producer.send_and_wait(topics.snapshots, encode(aborted), key=aborted.key)
        await producer.abort_transaction()
    finally:
        await producer.stop()

    subscriber = await start_subscriber()

    assert version(subscriber) == "1.-.-.-"


async def test_bad_records_are_skipped_and_counted(
    start_subscriber: StartSubscriber, write: StateWriter, topics: Topics
) -> None:
    subscriber = await start_subscriber()
    good = snapshot(source_offset=3)
    with structlog.testing.capture_logs() as logs:
        for _ in range(5):
            await write.raw(topics.snapshots, b"k", b"not an event")
            await write.raw(topics.routers, b"r", b"\xc3\x01 nor this one")
        await write.raw(topics.snapshots, b"another key", encode(good))
        await write.publish(good)
        await shows(subscriber, "3.-.-.-")
        await eventually(lambda: subscriber.bad_records.counts.total() == 11)

    assert subscriber.bad_records.counts == {
        "undecodable": 5,
        "unknown_schema": 5,
        "wrong_key": 1,
    }
    skipped = [log for log in logs if log["event"].startswith("record skipped")]
    assert len(skipped) == 3


async def test_burst_of_snapshots_ends_in_the_newest(
    start_subscriber: StartSubscriber, stack: Servers, topics: Topics
) -> None:
    subscriber = await start_subscriber()
    types = ("general", "writing", "code_generation")
    rows = {**observed("a", [1.0] * 9), **observed("b", [0.5] * 9)}

    def round_of(position: int) -> list[Snapshot]:
        return [
            snapshot(rows, request_type=name, partition=partition, source_offset=position)
            for name in types
            for partition in range(4)
        ]

    async with AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers) as producer:
        for position in range(1, 101):
            for each in round_of(position):
                await producer.send(topics.snapshots, encode(each), key=each.key)

    for name in types:
        await shows(subscriber, "100.100.100.100", name)


async def test_broker_restart_is_survived_and_caught_up(
    start_subscriber: StartSubscriber, write: StateWriter, broker: Broker
) -> None:
    await write.publish(configured(config("r")), snapshot(observed("a", [1.0]), source_offset=1))
    subscriber = await start_subscriber()

    async with broker.killed():
        await eventually(lambda: not subscriber.connected)  # the watchdog has given it up
        await asyncio.sleep(1)
        assert subscriber.ready
        assert version(subscriber) == "1.-.-.-"
        assert subscriber.directory.get("r").choose("general", b"s", now_ms=0).arm

    await write.publish(snapshot(observed("a", [1.0, 1.0]), source_offset=2))
    await shows(subscriber, "2.-.-.-")
    await eventually(lambda: subscriber.connected)
    assert subscriber.directory.get("r").version == 1


async def test_stops_while_the_broker_is_away(
    start_subscriber: StartSubscriber, write: StateWriter, broker: Broker
) -> None:
    await write.publish(snapshot(source_offset=1))
    subscriber = await start_subscriber()

    async with broker.killed():
        await asyncio.sleep(0.5)
        await subscriber.stop()

    assert version(subscriber) == "1.-.-.-"


async def test_frozen_broker_is_survived(
    start_subscriber: StartSubscriber, write: StateWriter, broker: Broker
) -> None:
    await write.publish(snapshot(source_offset=1))
    subscriber = await start_subscriber()

    async with broker.frozen():
        await asyncio.sleep(2.5)
        assert version(subscriber) == "1.-.-.-"

    await write.publish(snapshot(source_offset=2))
    await shows(subscriber, "2.-.-.-")


async def test_topic_created_anew_replaces_what_was_known(
    start_subscriber: StartSubscriber, write: StateWriter, cluster: Cluster, topics: Topics
) -> None:
    await write.publish(*(snapshot(epoch=9, source_offset=i) for i in range(1, 20)))
    await write.publish(snapshot(request_type="writing"))
    subscriber = await start_subscriber()
    assert version(subscriber) == "19.-.-.-"

    await cluster.recreate(topics.snapshots, topics)
    await write.publish(snapshot(epoch=1, source_offset=2))

    await shows(subscriber, "2.-.-.-")
    assert version(subscriber, "writing") == "-.-.-.-"
    assert subscriber.ready


async def test_unreachable_kafka_is_a_clear_error_in_time(
    start_subscriber: StartSubscriber,
) -> None:
    nobody = f"127.0.0.1:{choose(None)}"
    begun = time.monotonic()
    with pytest.raises(Unavailable, match=f"Kafka at {nobody}") as caught:
        await start_subscriber(bootstrap_servers=nobody)
    assert time.monotonic() - begun < 15
    assert caught.value.retry_after_s > 0


async def test_missing_topics_are_named(start_subscriber: StartSubscriber) -> None:
    with pytest.raises(Unavailable, match=r"topic never-made\.routers does not exist"):
        await start_subscriber(topics=Topics(prefix="never-made"))


async def test_stopped_at_once_leaves_nothing_open(start_subscriber: StartSubscriber) -> None:
    subscriber = await start_subscriber(ready=False)
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always", ResourceWarning)
        await subscriber.stop()
        del subscriber
        gc.collect()
    assert [str(each.message) for each in unclosed] == []


async def test_stopping_keeps_the_state_and_may_be_repeated(
    start_subscriber: StartSubscriber, write: StateWriter
) -> None:
    await write.publish(snapshot(source_offset=1))
    subscriber = await start_subscriber()
    await subscriber.stop()
    await subscriber.stop()
    assert version(subscriber) == "1.-.-.-"
    assert not subscriber.connected
