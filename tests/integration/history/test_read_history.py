"""The log as tables, read from real Kafka."""

from __future__ import annotations

import random
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer

from routefold.errors import Failure, Misuse, Unreachable
from routefold.history import Position, read_history
from routefold.history import log as log_module
from routefold.history.log import open_log
from schemas.codec import decode
from schemas.events import Outcome, Turn
from schemas.topics import Topics
from tests.factories import config, configured, traffic
from tests.fixtures.broker import Broker
from tests.fixtures.pipeline import publish, read_log
from tests.fixtures.servers import Servers

pytestmark = pytest.mark.integration

EVENTS = list(traffic(300, random.Random(1)))


async def filled(stack: Servers, topics: Topics) -> None:
    known = [configured(config(router)) for router in ("r", "other")]
    others = traffic(20, random.Random(2), router="other")
    await publish(stack.bootstrap_servers, topics, [*known, *EVENTS, *others])


async def send(stack: Servers, topics: Topics, value: bytes, partition: int) -> int:
    """The broker's time for a record of these bytes, milliseconds."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers)
    await producer.start()
    try:
        sent = await producer.send_and_wait(topics.events, value, key=b"k", partition=partition)
        return int(sent.timestamp)
    finally:
        await producer.stop()


async def test_the_whole_log(stack: Servers, topics: Topics) -> None:
    await filled(stack, topics)
    await send(stack, topics, b"alien", 2)
    told: list[tuple[int, int]] = []
    history = await read_history(
        stack.bootstrap_servers, topics, progress=lambda done, total: told.append((done, total))
    )
    log = await decodable(stack, topics)
    assert history.records == len(log) + 1
    assert history.skipped == {"undecodable": 1}
    assert told[-1] == (history.records, history.records)
    assert sum(map(len, history.ranges.values())) == history.records
    turns = [str(UUID(bytes=e.turn_id)) for e in log if isinstance(e, Turn)]
    outcomes = [str(UUID(bytes=e.outcome_id)) for e in log if isinstance(e, Outcome)]
    assert history.turns["turn_id"].to_list() == turns
    assert history.outcomes["outcome_id"].to_list() == outcomes
    assert history.configs.select("router", "partition").n_unique() == 8
    assert history.joined["outcomes"].to_list() == [1] * len(turns)


async def decodable(stack: Servers, topics: Topics) -> list[object]:
    """What the log holds, partition by partition, decoded one by one."""
    log = await read_log(stack.bootstrap_servers, topics.events, topics.event_partitions)
    return [decode(value) for p in sorted(log) for _, value in log[p] if value != b"alien"]


async def test_one_router(stack: Servers, topics: Topics) -> None:
    await filled(stack, topics)
    history = await read_history(stack.bootstrap_servers, topics, router="other")
    assert len(history.turns) == len(history.outcomes) == 20
    for table in (history.turns, history.outcomes, history.configs):
        assert table["router"].unique().to_list() == ["other"]


async def test_a_stretch_by_offsets_and_by_time(stack: Servers, topics: Topics) -> None:
    await filled(stack, topics)
    middle = max([await send(stack, topics, b"mark", p) for p in range(4)]) + 1
    at = Position(time_ms=middle)
    while await send(stack, topics, b"mark", 0) < middle:
        pass
    await publish(stack.bootstrap_servers, topics, traffic(50, random.Random(9)))
    whole = await read_history(stack.bootstrap_servers, topics)
    before = await read_history(stack.bootstrap_servers, topics, end=at)
    after = await read_history(stack.bootstrap_servers, topics, start=at)
    assert before.records + after.records == whole.records
    assert len(before.turns) == 320
    assert len(after.turns) == 50
    cut = Position(offsets={p: range_.end for p, range_ in before.ranges.items()})
    same = await read_history(stack.bootstrap_servers, topics, start=cut)
    assert same.turns.equals(after.turns)
    assert same.ranges == after.ranges
    part = await read_history(
        stack.bootstrap_servers, topics, start=Position.parse("1:3"), end=Position.parse("1:5")
    )
    assert part.ranges[1] == (3, 5)
    assert part.ranges[0] == whole.ranges[0]


async def test_positions_that_the_log_does_not_have(stack: Servers, topics: Topics) -> None:
    await filled(stack, topics)
    for start, end, said in (
        ("0:99999", None, "offsets 0 to"),
        ("9:1", None, "and no 9"),
        ("0:3", "0:2", "before the start"),
        ("2026-01-03", "2026-01-02", "before the start"),
    ):
        with pytest.raises(Misuse, match=said):
            await read_history(
                stack.bootstrap_servers,
                topics,
                start=Position.parse(start),
                end=Position.parse(end) if end else None,
            )


async def test_an_empty_log(stack: Servers, topics: Topics) -> None:
    history = await read_history(stack.bootstrap_servers, topics)
    assert history.records == 0
    assert history.joined.is_empty()
    assert history.reactions.is_empty()


async def test_what_is_not_there(stack: Servers) -> None:
    with pytest.raises(Failure, match=r"has no topic nowhere\.events"):
        await read_history(stack.bootstrap_servers, Topics(prefix="nowhere"))
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        await read_history("127.0.0.1:1", Topics())


async def test_one_record(stack: Servers, topics: Topics) -> None:
    await send(stack, topics, b"mark", 3)
    async with open_log(stack.bootstrap_servers, topics.events) as log:
        assert await log.record(3, 0) == (b"k", b"mark")
        assert await log.record(3, 1) is None
        assert await log.record(9, 0) is None


async def test_a_broker_that_falls_silent(
    stack: Servers, topics: Topics, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(stack, topics)
    monkeypatch.setattr(log_module, "STALL_S", 1.0)

    async def read() -> None:
        async with open_log(stack.bootstrap_servers, topics.events) as log, broker.frozen():
            async for _ in log.batches(log.ends):
                pass

    with pytest.raises(Unreachable, match="stopped answering"):
        await read()
