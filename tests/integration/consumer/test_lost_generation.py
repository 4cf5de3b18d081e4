"""A database that lost a promote, or everything: routers follow what is made anew from the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest

from consumer.errors import SchemaOutdated
from consumer.generations import live
from consumer.migrate import migrate
from consumer.rebuild.promote import promote
from consumer.rebuild.settings import RebuildSettings
from schemas.topics import Topics
from tests.fixtures.pipeline import eventually
from tests.fixtures.servers import Servers as Stack
from tests.fixtures.switching import (
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


def lose_everything(made: Installation) -> None:
    execute(made, "DROP SCHEMA routefold CASCADE", "DROP SCHEMA IF EXISTS routefold_clean CASCADE")
    migrate(made.dsn)


def lose_the_promote(made: Installation) -> None:
    """As a backup from before it would: the tables that were live then, where they stood then."""
    execute(made, "DELETE FROM routefold.generations", "DROP SCHEMA routefold_clean CASCADE")


def execute(made: Installation, *statements: str) -> None:
    with psycopg.connect(made.dsn, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.parametrize("lose", [lose_everything, lose_the_promote])
async def test_after_a_promote_routers_follow_the_database_made_anew(
    installed: Installation, lose: Callable[[Installation], None]
) -> None:
    made = installed
    async with replicas(made) as found:
        async with made.consuming():
            await promote(made.servers, "clean")
            await all_on(found, 1)
            await made.publish(events(200, seed=2))
            await made.all_folded()
            await all_know(found, made, CLEAN)
        known = [latest(each) for each in found]

        lose(made)
        await made.publish(events(100, seed=3))
        async with made.consuming():
            await all_on(found, 2)
            await made.all_folded()
            assert made.evidence("routefold") == await made.counted_by_hand(LIVE)
            await all_know(found, made, LIVE)

        # of no partition any of them ever used less than it knew
        for each, before in zip(found, known, strict=True):
            assert each.generations == [1, 2] or each.generations == [0, 1, 2]
            assert_no_step_back(each, before)
    # one that starts now reads the same
    async with replicas(made, count=1) as late:
        await all_know(late, made, LIVE)
        assert late[0].subscriber.directory.generation == 2
    # and everything goes on from there
    async with made.consuming():
        await made.rebuild("again", CLEAN)
        assert (await promote(made.servers, "again")).generation.number == 3
        await made.all_folded()


async def test_a_database_lost_before_any_promote_is_a_generation_too(
    installed: Installation,
) -> None:
    made = installed
    async with replicas(made) as found:
        known = [latest(each) for each in found]
        lose_everything(made)
        async with made.consuming():
            await all_on(found, 1)
            await made.all_folded()
            await all_know(found, made, LIVE)
        for each, before in zip(found, known, strict=True):
            assert_no_step_back(each, before)
    switches = await made.switches()
    assert [[each.generation for each in told] for told in switches.values()] == [[1]] * 4


async def test_while_nothing_is_lost_no_generation_begins(installed: Installation) -> None:
    made = installed
    for seed in (2, 3):
        async with made.consuming():
            await made.publish(events(50, seed=seed))
            await made.all_folded()
    assert live(made.dsn).number == 0
    async with made.consuming():
        await promote(made.servers, "clean")
        await made.all_folded()
    async with made.consuming():
        await made.publish(events(50, seed=4))
        await made.all_folded()
    assert live(made.dsn).number == 1


async def test_tables_that_go_while_they_are_written_are_one_clear_line(
    installed: Installation,
) -> None:
    with pytest.raises(SchemaOutdated, match="tables have gone"):
        await consume_until_the_tables_go(installed)


async def consume_until_the_tables_go(made: Installation) -> None:
    def epochs() -> set[int]:
        return {row[0] for row in made.rows("routefold", "SELECT epoch FROM partition_progress")}

    before = epochs()
    async with made.consuming() as task:
        await eventually(lambda: not before & epochs())
        execute(made, "DROP SCHEMA routefold CASCADE")
        await asyncio.wait_for(asyncio.shield(task), 30)


def latest(replica: Replica) -> dict[str, list[int]]:
    """The source offsets that a replica's state of each type is of, by partition."""
    state = replica.subscriber.directory.state("r")
    return {name: offsets(state.of(name).read().version) for name in TYPES}


def offsets(version: str) -> list[int]:
    return [0 if each == "-" else int(each) for each in version.rpartition(":")[2].split(".")]


def assert_no_step_back(replica: Replica, known: dict[str, list[int]]) -> None:
    numbers = sorted({name.version.partition(":")[0] for name in replica.read})
    newest = numbers[-1]
    for name in replica.read:
        if name.version.partition(":")[0] == newest:
            now = offsets(name.version)
            assert all(a >= b for a, b in zip(now, known[name.request_type], strict=True)), name


async def all_know(found: list[Replica], made: Installation, settings: RebuildSettings) -> None:
    """Wait until every replica's evidence is that of the log, by a count by hand."""
    expected: dict[tuple[object, ...], list[int]] = {}
    for key, sums in (await made.counted_by_hand(settings)).items():
        total = expected.setdefault(key[1:], [0, 0, 0])
        expected[key[1:]] = [a + b for a, b in zip(total, sums, strict=True)]

    def known(replica: Replica) -> bool:
        state = replica.subscriber.directory.state("r")
        return all(
            expected.get(("r", name, key.arm, key.metric, key.pace, key.era)) == list(sums)
            for name in TYPES
            for key, sums in state.of(name).read().evidence.items()
        )

    await eventually(lambda: all(map(known, found)))
