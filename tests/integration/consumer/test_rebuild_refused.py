"""What a rebuild refuses, and how it keeps out of others' way."""

from __future__ import annotations

import asyncio
import random

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from consumer.errors import SchemaOutdated
from consumer.rebuild import side
from consumer.rebuild.bounds import Bound
from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.rebuild import Advance, Pace, Servers
from consumer.rebuild.settings import RebuildSettings
from schemas.topics import Topics
from tests.factories import T0, traffic
from tests.fixtures.pipeline import consuming, publish, stored_evidence
from tests.fixtures.rebuilding import (
    ARMS,
    busy_log,
    everything_live,
    fold_live,
    run,
)
from tests.fixtures.servers import Servers as Stack

pytestmark = pytest.mark.integration


@pytest.fixture
async def installed(stack: Stack, topics: Topics, database: str) -> Servers:
    """A log of some thousand events, folded by the live consumer."""
    await fold_live(stack, topics, database, busy_log(1200))
    return Servers(stack.bootstrap_servers, topics.events, database)


async def test_other_settings_than_it_was_begun_with_are_refused(installed: Servers) -> None:
    await run(installed, "first")
    other = RebuildSettings.make(exclude_arms=("a",))
    with pytest.raises(
        RebuildRefused, match=r"'first' was begun with other settings.*exclude_arms"
    ):
        await run(installed, "first", settings=other)
    with pytest.raises(RebuildRefused, match="until: 5, not the end"):
        await run(installed, "first", until=Bound.parse("5"))


async def test_what_can_not_be_done_is_refused_and_changes_nothing(
    installed: Servers, stack: Stack
) -> None:
    before = everything_live(installed.postgres_dsn)
    for fields, message in (
        ({"name": "Bad-Name"}, "can't be a rebuild's name"),
        ({"name": "x", "until": Bound.parse("99999999")}, r"ends at offset \d+, before 99999999"),
        ({"name": "x", "until": Bound.parse("7:5")}, "no partition 7"),
        ({"name": "x", "start": Bound.parse("9"), "until": Bound.parse("9")}, "no events"),
        ({"name": "x", "start": Bound.parse("9"), "until": Bound.parse("5")}, "before --until"),
        ({"name": "x", "until": Bound.parse("2001-01-01")}, "no events"),
        ({"name": "x", "settings": RebuildSettings.make(exclude_arms=("zz",))}, "no router ever"),
        (
            {"name": "x", "settings": RebuildSettings.make(half_lives_s={"quality.slow": 30.0})},
            "must be shorter than slow",
        ),
    ):
        with pytest.raises(RebuildRefused, match=message):
            await run(installed, **fields)
    nowhere = Servers(stack.bootstrap_servers, "nothing.events", installed.postgres_dsn)
    with pytest.raises(RebuildRefused, match=r"no topic nothing\.events"):
        await run(nowhere, "x")
    with pytest.raises(RebuildRefused, match="there is no rebuild 'x'; there are: none"):
        side.drop(installed.postgres_dsn, "x")
    with pytest.raises(SchemaOutdated):
        await run(Servers(stack.bootstrap_servers, installed.topic, stack.postgres_dsn), "x")
    assert side.names(installed.postgres_dsn) == []
    assert everything_live(installed.postgres_dsn) == before


async def test_a_log_that_lost_its_beginning_is_refused(installed: Servers, stack: Stack) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    await admin.start()
    gone = {TopicPartition(installed.topic, 2): RecordsToDelete(before_offset=40)}
    await admin.delete_records(gone)
    await admin.close()
    with pytest.raises(RebuildRefused, match=r"partition 2 .* begins at offset 40.*--from 2:40"):
        await run(installed, "lost")
    outcome = await run(installed, "rest", start=Bound.parse("2:40"))
    assert outcome.contents[2].progress.folded > 0


async def test_one_command_at_a_time_works_on_a_rebuild(installed: Servers) -> None:
    with side.claimed(installed.postgres_dsn, "taken"):
        with pytest.raises(RebuildRefused, match="another command works on the rebuild 'taken'"):
            await run(installed, "taken")
        await run(installed, "other")


async def test_rebuilds_are_listed_and_dropped(installed: Servers) -> None:
    await run(installed, "one", until=Bound.parse("0:100,1:100,2:100,3:100"))
    await run(installed, "two")
    found = side.find_all(installed.postgres_dsn)
    assert [(rebuild.name, rebuild.state) for rebuild, _ in found] == [
        ("one", "complete"),
        ("two", "complete"),
    ]
    assert {at.next_offset for at in found[0][1].values()} == {100}
    side.drop(installed.postgres_dsn, "one")
    assert side.names(installed.postgres_dsn) == ["two"]
    assert stored_evidence(installed.postgres_dsn)


async def test_it_rests_while_the_live_consumer_is_behind(
    installed: Servers, stack: Stack, topics: Topics, database: str
) -> None:
    """The consumer is slowed down by a batch that another session holds up."""
    rested = asyncio.Event()

    def watch(advance: Advance) -> None:
        if advance.resting:
            rested.set()

    more = list(traffic(3000, random.Random(5), start_ms=T0 + 40_000_000, arms=ARMS))
    slow = Pace(max_rate_per_s=400, max_lag=1, batch_events=50)
    task = asyncio.create_task(run(installed, "polite", pace=slow, on_advance=watch))
    async with consuming(stack.bootstrap_servers, database, topics):
        for start in range(0, len(more), 100):
            await publish(stack.bootstrap_servers, topics, more[start : start + 100])
            if rested.is_set():
                break
    await asyncio.wait_for(rested.wait(), 30)
    await task
