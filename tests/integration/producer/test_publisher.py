"""The publisher against a real broker that is there."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from dataclasses import replace

import pytest
from aiokafka import TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from producer.batching import MAX_BATCH_BYTES
from producer.errors import BrokerUnreachable, EventRefused, PublishFailed, TopicMissing
from producer.publisher import START_TIMEOUT_S, Publisher
from schemas.codec import decode
from schemas.errors import ContractError
from schemas.events import Outcome, Turn
from schemas.topics import Topics
from tests.factories import config, configured, traffic
from tests.integration.producer.conftest import Log, StartPublisher

pytestmark = pytest.mark.integration


@pytest.fixture
def events() -> list[Turn | Outcome]:
    return list(traffic(300, random.Random(1)))


async def test_positions_name_the_records_that_hold_the_events(
    start_publisher: StartPublisher,
    log: Log,
    topics: Topics,
    events: list[Turn | Outcome],
) -> None:
    publisher = await start_publisher()
    positions = await publisher.publish(events)

    held = {(r.partition, r.offset): r for r in await log.records()}
    assert len(held) == len(events)
    for event, position in zip(events, positions, strict=True):
        assert position is not None
        record = held[position]
        assert decode(record.value) == event
        assert record.key == event.key
    assert publisher.stats.published == len(events)


async def test_a_key_goes_where_the_default_partitioner_of_kafka_clients_sends_it(
    start_publisher: StartPublisher, topics: Topics, events: list[Turn | Outcome]
) -> None:
    publisher = await start_publisher()
    everywhere = list(range(topics.event_partitions))
    for event, position in zip(events, await publisher.publish(events), strict=True):
        assert position is not None
        assert position.partition == DefaultPartitioner()(event.key, everywhere, everywhere)


async def test_headers_are_cloud_events_with_the_trace_context(
    start_publisher: StartPublisher, log: Log, topics: Topics
) -> None:
    publisher = await start_publisher()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    turn, outcome = traffic(1, random.Random(1))
    publisher.publish_nowait(turn, trace)
    await publisher.publish([outcome])

    by_type = {dict(r.headers)["ce_type"]: dict(r.headers) for r in await log.records()}
    assert by_type[b"routefold.turn.v1"]["traceparent"] == trace.encode()
    assert by_type[b"routefold.turn.v1"]["ce_source"] == b"test"
    assert "traceparent" not in by_type[b"routefold.outcome.v1"]


async def test_stop_sends_what_is_queued_and_keeps_a_session_in_order(
    start_publisher: StartPublisher, log: Log, topics: Topics
) -> None:
    publisher = await start_publisher()
    events = list(traffic(3_000, random.Random(2)))
    assert all(publisher.publish_nowait(event) for event in events)
    await publisher.stop()

    order = {event.event_id: i for i, event in enumerate(events)}
    records = await log.records()
    assert len(records) == len(events)
    last: dict[bytes, int] = {}
    for record in records:
        event = decode(record.value)
        assert isinstance(event, Turn | Outcome)
        index = order.pop(event.event_id)
        assert last.get(event.key, -1) < index
        last[event.key] = index


async def test_a_full_queue_drops_and_counts_but_never_blocks_or_raises(
    start_publisher: StartPublisher, log: Log, events: list[Turn | Outcome]
) -> None:
    publisher = await start_publisher(max_queued=10)
    taken = [publisher.publish_nowait(event) for event in events[:15]]
    assert taken == [True] * 10 + [False] * 5
    assert publisher.stats.dropped == 5
    with pytest.raises(PublishFailed, match="10 events wait already"):
        await publisher.publish(events[15:17])
    await publisher.stop()
    assert Counter(await log.event_ids()) == Counter(event.event_id for event in events[:10])
    assert publisher.publish_nowait(events[0]) is False


async def test_an_event_that_does_not_fit_its_schema_fails_the_call_that_published_it(
    start_publisher: StartPublisher, log: Log, events: list[Turn | Outcome]
) -> None:
    publisher = await start_publisher()
    broken = [
        replace(events[0], source=7),  # type: ignore[arg-type]
        replace(events[0], turn_id=b"short"),
        replace(events[0], session_id="\ud800"),
        replace(events[0], occurred_at=10**18),
    ]
    for event in broken:
        with pytest.raises(ContractError):
            await publisher.publish([events[1], event])
        publisher.publish_nowait(event)
    await publisher.publish(events[2:4])
    assert await log.event_ids() == [event.event_id for event in events[2:4]]
    assert publisher.stats.refused == len(broken)


async def test_an_event_above_every_limit_is_refused_before_it_is_sent(
    start_publisher: StartPublisher, events: list[Turn | Outcome]
) -> None:
    publisher = await start_publisher()
    with pytest.raises(EventRefused, match="bytes"):
        await publisher.publish([replace(events[0], source="x" * MAX_BATCH_BYTES)])


async def test_one_event_that_the_broker_refuses_does_not_take_its_batch_with_it(
    start_publisher: StartPublisher,
    log: Log,
    events: list[Turn | Outcome],
) -> None:
    # One partition's batch, incompressible, so that only the large event is above the limit.
    noise = "".join(random.Random(3).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=20_000))
    small = [replace(event, session_id="s") for event in events[:20]]
    large = replace(small[0], source=noise)
    await log.limit_message_bytes(8_000)
    publisher = await start_publisher()
    for event in [*small[1:10], large, *small[10:]]:
        publisher.publish_nowait(event)
    with pytest.raises(EventRefused):
        await publisher.publish([large])
    await publisher.stop()
    assert Counter(await log.event_ids()) == Counter(event.event_id for event in small[1:])
    assert publisher.stats.refused == 2


async def test_a_configuration_reaches_every_partition_and_the_routers_topic(
    start_publisher: StartPublisher, log: Log, topics: Topics
) -> None:
    publisher = await start_publisher()
    event = configured(config("chat"))
    await publisher.publish_config(event)

    records = await log.records()
    assert sorted(record.partition for record in records) == list(range(topics.event_partitions))
    (compacted,) = await log.records(topics.routers)
    assert compacted.key == b"chat"
    assert {decode(record.value) for record in [*records, compacted]} == {event}


async def test_an_error_of_idempotence_replaces_the_producer_and_sends_again(
    start_publisher: StartPublisher,
    log: Log,
    topics: Topics,
    events: list[Turn | Outcome],
) -> None:
    publisher = await start_publisher()
    await publisher.publish(events[:50])
    faulty = publisher._link._producer
    assert faulty is not None
    for partition in range(topics.event_partitions):  # the broker answers OutOfOrderSequence
        gap = TopicPartition(topics.events, partition)
        faulty._txn_manager.increment_sequence_number(gap, 7)

    positions = await publisher.publish(events[50:100])
    assert None not in positions
    assert publisher._link._producer is not faulty
    assert set(await log.event_ids()) == {event.event_id for event in events[:100]}
    assert publisher.stats.online


async def test_start_without_kafka_says_so_in_one_line(topics: Topics) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        publisher = Publisher(bootstrap_servers=address, topics=topics, spool=None)
        with pytest.raises(BrokerUnreachable) as caught:
            await publisher.start()
        await publisher.stop()
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_start_gives_up_on_an_address_that_accepts_but_never_answers(topics: Topics) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        publisher = Publisher(bootstrap_servers=address, topics=topics, spool=None)
        async with asyncio.timeout(2 * START_TIMEOUT_S):
            with pytest.raises(BrokerUnreachable):
                await publisher.start()
            await publisher.stop()


async def test_start_without_topics_names_the_command_that_creates_them(
    start_publisher: StartPublisher,
) -> None:
    with pytest.raises(TopicMissing, match=r"nowhere\.events does not exist: run `routefold init`"):
        await start_publisher(topics=Topics(prefix="nowhere"))


async def test_a_publisher_that_is_not_running_refuses_to_publish(
    start_publisher: StartPublisher, events: list[Turn | Outcome]
) -> None:
    publisher = await start_publisher()
    await publisher.stop()
    with pytest.raises(PublishFailed, match="not running"):
        await publisher.publish(events[:1])
    with pytest.raises(PublishFailed, match="not running"):
        await publisher.publish_config(configured(config("chat")))
