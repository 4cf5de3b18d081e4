"""Events while Kafka is away: kept, answered, and in the log after its return."""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from producer.batching import to_message
from producer.errors import PublishFailed
from producer.publisher import Publisher
from producer.spool import Spool
from schemas.events import Outcome, Turn
from schemas.topics import Topics
from tests.factories import config, configured, traffic
from tests.fixtures.broker import Broker
from tests.fixtures.servers import Servers
from tests.integration.producer.conftest import Log, StartPublisher

pytestmark = pytest.mark.integration

Events = Sequence[Turn | Outcome]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool" / "events.db"


@pytest.fixture
def events() -> Events:
    return list(traffic(100, random.Random(1)))


@pytest.mark.parametrize("absence", [Broker.frozen, Broker.killed])
async def test_events_published_while_kafka_is_away_are_in_the_log_after_its_return(
    start_publisher: StartPublisher,
    log: Log,
    broker: Broker,
    path: Path,
    events: Events,
    absence: Callable[[Broker], AbstractAsyncContextManager[None]],
) -> None:
    publisher = await start_publisher(spool=Spool(path))
    assert None not in await publisher.publish(events[:50])
    async with absence(broker):
        assert await publisher.publish(events[50:100]) == [None] * 50
        assert not publisher.stats.online
        for event in events[100:150]:
            assert publisher.publish_nowait(event)
        assert await publisher.publish(events[150:160]) == [None] * 10
        assert publisher.stats.spool_events == 110
    await _until(lambda: publisher.stats.online)
    assert None not in await publisher.publish(events[160:])
    await _until_spool_is_empty(publisher)
    assert set(await log.event_ids()) == _ids(events)
    assert publisher.stats.dropped == 0


async def test_a_resend_has_the_same_key_bytes_and_headers(
    start_publisher: StartPublisher, log: Log, path: Path, events: Events
) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    messages = [to_message(event, trace) for event in events]
    spool = Spool(path)
    spool.append(messages)  # left by an earlier run
    publisher = await start_publisher(spool=spool)
    await _until_spool_is_empty(publisher)

    found = [(r.key, r.value, list(r.headers)) for r in await log.records()]
    assert sorted(found) == sorted((m.key, m.value, list(m.headers)) for m in messages)
    assert publisher.stats.replayed == len(messages)


async def test_what_was_answered_survives_a_killed_process(
    start_publisher: StartPublisher,
    log: Log,
    broker: Broker,
    stack: Servers,
    topics: Topics,
    path: Path,
) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PUBLISHING_CHILD, stack.bootstrap_servers, topics.prefix, path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert await child.stdout.readline() == b"started\n"
        async with broker.frozen():
            child.stdin.write(b"go\n")
            answered = int(await child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            await child.wait()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert answered == 40
    publisher = await start_publisher(spool=Spool(path))
    await _until_spool_is_empty(publisher)
    assert set(await log.event_ids()) == _ids(traffic(20, random.Random(5)))


async def test_stop_without_kafka_ends_and_leaves_everything_in_the_spool(
    start_publisher: StartPublisher, log: Log, broker: Broker, path: Path
) -> None:
    events = list(traffic(1_500, random.Random(6)))
    publisher = await start_publisher(spool=Spool(path))
    async with broker.frozen():
        for event in events:
            publisher.publish_nowait(event)
        async with asyncio.timeout(30):  # a publisher that waits for the broker waits for ever
            await publisher.stop(timeout_s=1.0)
        spool = Spool(path)
        assert {row.message.value for row in spool.peek(10_000)} == {
            to_message(event).value for event in events
        }
        spool.close()
    publisher = await start_publisher(spool=Spool(path))
    await _until_spool_is_empty(publisher)
    assert set(await log.event_ids()) == _ids(events)


async def test_stop_without_kafka_and_spool_tells_who_waits_and_counts_the_rest(
    start_publisher: StartPublisher, broker: Broker, events: Events
) -> None:
    publisher = await start_publisher()
    async with broker.frozen():
        for event in events[10:]:
            publisher.publish_nowait(event)
        waiting = asyncio.create_task(publisher.publish(events[:10]))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(30):
            await publisher.stop(timeout_s=0.5)
        with pytest.raises(PublishFailed, match="stopped"):
            await waiting
    assert publisher.stats.dropped == len(events)


async def test_without_a_spool_publish_fails_and_queued_events_wait_in_memory(
    start_publisher: StartPublisher, log: Log, broker: Broker, events: Events
) -> None:
    publisher = await start_publisher()
    async with broker.killed():
        with pytest.raises(PublishFailed):
            await publisher.publish(events[:10])
        for event in events[10:]:
            assert publisher.publish_nowait(event)
        with pytest.raises(PublishFailed, match="no spool"):
            await publisher.publish(events[:10])
        with pytest.raises(PublishFailed):
            await publisher.publish_config(configured(config("chat")))
    await _until(lambda: publisher.stats.online)
    await publisher.publish(events[:10])
    await publisher.stop()
    assert set(await log.event_ids()) == _ids(events)


async def test_a_full_spool_fails_publish_and_keeps_what_it_has(
    start_publisher: StartPublisher, log: Log, broker: Broker, path: Path, events: Events
) -> None:
    publisher = await start_publisher(spool=Spool(path, max_bytes=8_000))
    async with broker.frozen():
        assert await publisher.publish(events[:10]) == [None] * 10
        with pytest.raises(PublishFailed):
            await publisher.publish(events[10:])
        publisher.publish_nowait(events[10])
    await _until_spool_is_empty(publisher)
    await publisher.stop()
    assert _ids(events[:11]) <= set(await log.event_ids())
    assert publisher.stats.dropped == 0


async def test_a_refused_event_is_set_aside_and_does_not_block_the_spool(
    start_publisher: StartPublisher, log: Log, path: Path, events: Events
) -> None:
    noise = "".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000))
    small = [replace(event, session_id="s") for event in events[:20]]
    await log.limit_message_bytes(8_000)
    spool = Spool(path)
    spool.append([to_message(event) for event in (*small[:10], replace(small[0], source=noise))])
    spool.append([to_message(event) for event in small[10:]])
    publisher = await start_publisher(spool=spool)
    await _until_spool_is_empty(publisher)
    await publisher.stop()
    assert Counter(await log.event_ids()) == Counter(event.event_id for event in small)
    assert publisher.stats.refused == 1
    with sqlite3.connect(path) as db:
        ((reason,),) = db.execute("SELECT reason FROM refused").fetchall()
    db.close()
    assert "MessageSizeTooLarge" in reason


async def _until_spool_is_empty(publisher: Publisher) -> None:
    await _until(lambda: publisher.stats.spool_events == 0)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - the publisher has no event to wait for
            await asyncio.sleep(0.02)


def _ids(events: Iterable[Turn | Outcome]) -> set[bytes]:
    return {event.event_id for event in events}


_PUBLISHING_CHILD = """
import asyncio, random, sys
from pathlib import Path
from producer.publisher import Publisher
from producer.spool import Spool
from schemas.topics import Topics
from tests.factories import traffic

async def main(bootstrap_servers, prefix, path):
    spool = Spool(Path(path))
    publisher = Publisher(
        bootstrap_servers=bootstrap_servers, topics=Topics(prefix=prefix), spool=spool
    )
    await publisher.start()
    print("started", flush=True)
    sys.stdin.readline()
    positions = await publisher.publish(list(traffic(20, random.Random(5))))
    print(len(positions), flush=True)
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""
