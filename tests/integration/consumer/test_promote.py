"""Promote and rollback on real Kafka and Postgres, while events come and replicas pick: nothing is
lost or counted twice, and no replica ever reads a mixture of two generations."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from consumer.generations import live
from consumer.rebuild.promote import promote, rollback, taken_up
from consumer.rebuild.rebuild import Pace
from consumer.rebuild.settings import RebuildSettings
from consumer.rebuild.verify import verify
from routefold.audit.ahead import ReadAhead
from routefold.audit.replay import Recipe
from routefold.audit.replayed import Replayed, missing, whole
from routefold.audit.states import StateName, States
from routefold.history.log import open_log
from schemas.topics import Topics
from tests.factories import config, configured
from tests.fixtures.pipeline import eventually
from tests.fixtures.servers import Servers as Stack
from tests.fixtures.switching import (
    ARMS,
    CLEAN,
    LIVE,
    TYPES,
    Installation,
    Replica,
    all_on,
    events,
    replicas,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def installed(stack: Stack, topics: Topics, database: str) -> Installation:
    return await Installation.rebuilt(stack, topics, database)


async def test_a_switch_under_traffic_loses_and_mixes_nothing(installed: Installation) -> None:
    """Promote, then roll back, while events come and two replicas pick."""
    made = installed
    async with (
        made.consuming(),
        replicas(made) as found,
    ):
        async with made.traffic(seed=2):
            await asyncio.sleep(1)
            promotion = await promote(made.servers, "clean")
            await all_on(found, 1)
            await asyncio.sleep(1)
        await made.all_folded()
        assert promotion.generation.number == live(made.dsn).number == 1
        assert made.evidence("routefold_clean") == await made.counted_by_hand(CLEAN)
        kept = made.next_offsets("routefold")
        async with made.traffic(seed=3):
            await asyncio.sleep(0.5)
            await rollback(made.servers)
            await all_on(found, 2)
            await asyncio.sleep(0.5)
        await made.all_folded()
        assert live(made.dsn).schema == "routefold"
        assert made.evidence("routefold") == await made.counted_by_hand(LIVE)
        assert all(at > kept[p] for p, at in made.next_offsets("routefold").items())
        for request_type in TYPES:
            await eventually(lambda kind=request_type: _agree(found, kind))
    for replica in found:
        assert replica.picks > 200
        assert replica.generations == [0, 1, 2]
    read = {name: digest for replica in found for name, digest in replica.read.items()}
    assert {name.generation for name in read} == {0, 1, 2}
    assert await digests_of_the_log(made, read) == read


def _agree(found: list[Replica], request_type: str) -> bool:
    states = [each.subscriber.directory.state("r").of(request_type).read() for each in found]
    return len({state.version for state in states}) == 1


async def digests_of_the_log(
    made: Installation, names: Iterable[StateName]
) -> dict[StateName, bytes]:
    """Every state folded again from the log, with the settings that the log tells of it."""
    told = (await made.switches())[0]
    recipes = {
        event.generation: Recipe(RebuildSettings.model_validate_json(event.settings), event.starts)
        for event in told
    }
    wanted = sorted(names, key=lambda name: (name.generation, sum(name.offsets.values())))
    found: dict[StateName, bytes] = {}
    async with open_log(made.stack.bootstrap_servers, made.topics.events) as log:
        for name in wanted:
            assert missing(name, log.ends, recipes) == ""
        with Replayed(ReadAhead(whole(log), log.ends), States(wanted), recipes) as replayed:
            for name in wanted:
                reading = await replayed.read(name)
                assert reading is not None
                assert reading.version == name.version
                found[name] = reading.digest
    return found


async def test_the_switch_is_told_in_every_partition(installed: Installation) -> None:
    made = installed
    promotion = await promote(made.servers, "clean")
    assert not await taken_up(made.dsn, 1, timeout_s=0)
    async with made.consuming():
        assert await taken_up(made.dsn, 1)
        await made.all_folded()
    told = await made.switches()
    assert {len(each) for each in told.values()} == {1}
    (event,) = told[0]
    assert event.generation == 1
    assert event.name == "clean"
    assert event.offsets == promotion.generation.offsets
    assert RebuildSettings.model_validate_json(event.settings) == CLEAN
    # it is no event of any turn
    counts = "SELECT sum(dead) FROM partition_progress"
    assert made.rows("routefold_clean", counts) == [(0,)]


async def test_an_idle_consumer_follows(installed: Installation) -> None:
    """Nothing comes that could fence it."""
    made = installed
    async with (
        made.consuming(),
        replicas(made, 1) as (replica,),
    ):
        await promote(made.servers, "clean")
        await all_on([replica], 1)
        await rollback(made.servers)
        await all_on([replica], 2)


async def test_two_consumers_follow_and_a_replica_that_starts_reads_one_generation(
    installed: Installation,
) -> None:
    made = installed
    async with made.consuming(), made.consuming(), made.traffic(seed=4):
        await asyncio.sleep(1)
        await promote(made.servers, "clean")
        async with replicas(made) as found:
            await all_on(found, 1)
        read = {name: digest for each in found for name, digest in each.read.items()}
    async with made.consuming():
        await made.all_folded()
    assert made.evidence("routefold_clean") == await made.counted_by_hand(CLEAN)
    assert await digests_of_the_log(made, read) == read


async def test_what_is_live_keeps_its_settings_and_verifies(installed: Installation) -> None:
    """An excluded source stays excluded, also where it is all that a partition gets."""
    made = installed
    await promote(made.servers, "clean")
    alone = [event for event in events(400, seed=5) if event.source == "importer"]
    async with made.consuming():
        await made.publish(alone)
        await made.all_folded()
        await made.publish(events(100, seed=6))
        # a configuration that can't have the settings is folded as it is written
        short = {"quality": {"slow": 50_000.0, "fast": 4000.0}}
        await made.publish([configured(config("s", arms=ARMS, half_lives_s=short))])
        await made.all_folded()
    assert made.rows(made.schema, "SELECT DISTINCT router FROM routers ORDER BY 1") == [
        ("r",),
        ("s",),
    ]
    verdict = await verify(made.servers, None, Pace(workers=1), lambda _: None)
    assert verdict.equal
    await promote_again_and_compare(made)


async def promote_again_and_compare(made: Installation) -> None:
    await rollback(made.servers)
    verdict = await verify(made.servers, None, Pace(workers=1), lambda _: None)
    assert verdict.equal
    await promote(made.servers, "clean")
    verdict = await verify(made.servers, None, Pace(workers=1), lambda _: None)
    assert verdict.equal
