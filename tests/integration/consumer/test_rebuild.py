"""Rebuilds on real Kafka and Postgres: the live digest whatever the way there, and never a trace
in the live tables."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import psutil
import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from consumer.errors import SchemaOutdated
from consumer.migrate import SCHEMA
from consumer.rebuild import side
from consumer.rebuild.bounds import Bound
from consumer.rebuild.contents import digest_of_all
from consumer.rebuild.errors import RebuildFailed, RebuildRefused
from consumer.rebuild.rebuild import Advance, Outcome, Pace, Servers, rebuild
from consumer.rebuild.settings import RebuildSettings
from schemas.events import Outcome as OutcomeEvent
from schemas.events import RouterConfigured, Turn
from schemas.request_types import REQUEST_TYPES
from schemas.topics import Topics
from tests.factories import T0, config, configured, outcome, traffic, turn, uuid7
from tests.fixtures.pipeline import consuming, eventually, folded, publish, stored_evidence, table
from tests.fixtures.servers import Servers as Stack

pytestmark = pytest.mark.integration

ARMS = ("a", "b", "c")
SIGNALS = ("satisfaction", "misalignment", "failure")
CONFIG = config(
    arms=ARMS,
    rewards={"quality": 1.0, **dict.fromkeys(SIGNALS, 0.5)},
    attribution_window_s=3600.0,
    half_lives_s={"quality": {"slow": 7200.0, "fast": 60.0}},
)
LIVE = RebuildSettings()
TABLES = (
    "evidence",
    "event_counts",
    "arm_seen",
    "turn_states",
    "sessions",
    "routers",
    "dead_letters",
    "partition_progress",
)
Event = Turn | OutcomeEvent | RouterConfigured


def busy_log(count: int, seed: int = 1) -> list[Event]:
    """Everything that a fold meets: sessions with reactions, repeats, late facts, fallbacks,
    retractions, dead letters, a second configuration; over several attribution windows."""
    rng = random.Random(seed)
    events: list[Event] = []
    for event in traffic(count, rng, arms=ARMS, request_types=REQUEST_TYPES, step_ms=30_000):
        events.append(event)
        if isinstance(event, Turn) and event.session_id is not None and rng.random() < 0.5:
            reaction = (rng.choice(SIGNALS),)
            fields = {"session_id": event.session_id, "reaction": reaction}
            at = event.occurred_at + rng.randrange(1000)
            events.append(turn(uuid7(at, rng), arm=rng.choice(ARMS), **fields))
        if isinstance(event, OutcomeEvent) and rng.random() < 0.2:
            events.append(_further(event, rng))
        if rng.random() < 0.1:
            events.append(rng.choice(events))
        if rng.random() < 0.02:
            events.append(turn(uuid7(event.occurred_at, rng), arm="nobody"))
    wider = CONFIG.model_copy(update={"arms": config(arms=(*ARMS, "d")).arms})
    events.insert(len(events) // 2, configured(wider, 2))
    return [configured(CONFIG), *events]


def _further(event: OutcomeEvent, rng: random.Random) -> OutcomeEvent:
    """A fallback, or a correction of an earlier outcome."""
    fields: dict[str, Any] = {
        "session_id": event.session_id,
        "arm": event.arm,
        "request_type": event.request_type,
        "occurred_at": event.occurred_at + 10,
        "source": "importer",
    }
    if rng.random() < 0.5:
        fields |= {"arm_served": rng.choice(ARMS), "status": "ok"}
    else:
        fields |= {"voids": event.outcome_id, "scores": {"quality": rng.random()}}
    return outcome(event.turn_id, uuid7(event.occurred_at + 10, rng), **fields)


async def fold_live(stack: Stack, topics: Topics, database: str, events: Iterable[Event]) -> None:
    """Publish the events and fold them with the live consumer."""
    log = list(events)
    await publish(stack.bootstrap_servers, topics, log)
    configurations = sum(isinstance(event, RouterConfigured) for event in log)
    wanted = folded(database) + len(log) - configurations
    async with consuming(stack.bootstrap_servers, database, topics):
        await eventually(lambda: folded(database) >= wanted, timeout_s=60)


@pytest.fixture
async def installed(stack: Stack, topics: Topics, database: str) -> Servers:
    """A log of some thousand events, folded by the live consumer."""
    await fold_live(stack, topics, database, busy_log(1200))
    return Servers(stack.bootstrap_servers, topics.events, database)


async def run(servers: Servers, name: str, **options: Any) -> Outcome:
    fields = {"settings": LIVE, "start": None, "until": None, "pace": Pace(workers=1)} | options
    return await rebuild(servers, name, on_advance=fields.pop("on_advance", _ignored), **fields)


def _ignored(_: Advance) -> None:
    pass


def live_digest(servers: Servers) -> str:
    return digest_of_all(side.read_contents(servers.postgres_dsn, side.LIVE)).hex()


def everything_live(database: str) -> list[list[tuple[object, ...]]]:
    """All rows of the live tables."""
    return [sorted(table(database, f"SELECT t::text FROM {name} AS t")) for name in TABLES]


async def test_any_workers_and_batches_give_the_live_digest(installed: Servers) -> None:
    wanted = live_digest(installed)
    before = everything_live(installed.postgres_dsn)
    for workers, batch, checkpoint in ((1, 16_384, 400_000), (2, 97, 1_000), (4, 500, 333)):
        pace = Pace(workers=workers, batch_events=batch, checkpoint_events=checkpoint)
        outcome = await run(installed, f"w{workers}", pace=pace)
        assert outcome.digest == wanted
        assert outcome.rebuild.state == "complete"
    assert everything_live(installed.postgres_dsn) == before


async def test_the_side_schema_holds_what_the_live_one_does(installed: Servers) -> None:
    """Turn states and sessions as well: a consumer could go on from it."""
    await run(installed, "twin", pace=Pace(checkpoint_events=500))
    live, twin = (
        _comparable(installed.postgres_dsn, schema) for schema in (SCHEMA, side.schema_of("twin"))
    )
    assert twin == live


def _comparable(dsn: str, schema: str) -> dict[str, list[tuple[object, ...]]]:
    """The tables, but for what has expired: the live consumer forgets it when it has the time."""
    since = "(SELECT max(stream_time_ms) - 3600000 FROM {0}.partition_progress AS p"
    since += " WHERE p.partition = t.partition)"
    fresh = "('x' || substr(replace(turn_id::text, '-', ''), 1, 12))::bit(48)::bigint >= " + since
    queries = {
        "turns": f"SELECT partition, turn_id, counted FROM {{0}}.turn_states AS t WHERE {fresh}",
        "sessions": f"SELECT * FROM {{0}}.sessions AS t WHERE {fresh}",
        "routers": "SELECT * FROM {0}.routers",
        "dead": "SELECT partition, record_offset, record_value, reason FROM {0}.dead_letters",
    }
    with psycopg.connect(dsn) as connection:
        return {
            name: sorted(connection.execute(query.format(schema).encode()).fetchall(), key=repr)
            for name, query in queries.items()
        }


async def test_the_same_command_again_goes_on_when_the_log_has_grown(
    installed: Servers, stack: Stack, topics: Topics, database: str
) -> None:
    first = await run(installed, "grown")
    again = await run(installed, "grown")
    assert (first.digest, again.events) == (again.digest, 0)
    more = list(traffic(300, random.Random(9), start_ms=T0 + 40_000_000, arms=ARMS))
    await fold_live(stack, topics, database, more)
    grown = await run(installed, "grown")
    assert grown.events == len(more)
    assert grown.digest == live_digest(installed) != first.digest


async def test_a_rebuild_killed_without_warning_goes_on_from_its_checkpoint(
    installed: Servers,
) -> None:
    pace = Pace(workers=2, batch_events=50, checkpoint_events=200, max_rate_per_s=1500)

    def kill_one(advance: Advance) -> None:
        if advance.done > 0.4 * advance.total:
            for worker in _workers(psutil.Process()):
                worker.kill()

    with pytest.raises(RebuildFailed, match="signal 9"):
        await run(installed, "cut", pace=pace, on_advance=kill_one)
    at = sum(side.positions(installed.postgres_dsn, "cut").values())
    total = sum(side.positions(installed.postgres_dsn, side.LIVE).values())
    assert 0 < at < total
    assert side.find(installed.postgres_dsn, "cut").state == "running"
    outcome = await run(installed, "cut")
    assert outcome.events == total - at
    assert outcome.digest == live_digest(installed)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
async def test_a_command_that_is_ended_leaves_no_worker_and_can_be_run_again(
    installed: Servers, topics: Topics, number: signal.Signals
) -> None:
    environment = {
        **os.environ,
        "ROUTEFOLD_BOOTSTRAP_SERVERS": installed.bootstrap_servers,
        "ROUTEFOLD_POSTGRES_DSN": installed.postgres_dsn,
        "ROUTEFOLD_TOPIC_PREFIX": topics.prefix,
    }
    command = [sys.executable, "-m", "routefold", "rebuild", "--into", "ended", "--workers", "2"]
    process = await asyncio.create_subprocess_exec(
        *command, "--max-rate", "100", env=environment, stderr=asyncio.subprocess.PIPE
    )
    own = psutil.Process(process.pid)
    await eventually(lambda: len(_workers(own)) == 2)
    workers = _workers(own)
    process.send_signal(number)
    _, said = await asyncio.wait_for(process.communicate(), 30)
    await eventually(lambda: not any(worker.is_running() for worker in workers))
    if number is signal.SIGINT:
        assert process.returncode == 130
        assert b"the same command goes on" in said
    assert (await run(installed, "ended")).digest == live_digest(installed)


def _workers(process: psutil.Process) -> list[psutil.Process]:
    return [
        child
        for child in process.children()
        if "multiprocessing.spawn" in " ".join(child.cmdline())
    ]


async def test_other_settings_than_it_was_begun_with_are_refused(installed: Servers) -> None:
    await run(installed, "first")
    other = RebuildSettings.make(exclude_arms=("a",))
    with pytest.raises(
        RebuildRefused, match=r"'first' was begun with other settings.*exclude_arms"
    ):
        await run(installed, "first", settings=other)
    with pytest.raises(RebuildRefused, match="until: 5, not the end"):
        await run(installed, "first", until=Bound.parse("5"))


async def test_an_excluded_source_has_never_been(
    installed: Servers, stack: Stack, database: str
) -> None:
    settings = RebuildSettings.make(exclude_sources=("importer",))
    without = await run(installed, "clean", settings=settings)
    log = [
        e for e in busy_log(1200) if not (isinstance(e, OutcomeEvent) and e.source == "importer")
    ]
    expected = await _folded_alone(stack, log, database)
    assert _evidence(without) == expected
    assert _evidence(await run(installed, "whole")) != expected


async def _folded_alone(stack: Stack, log: list[Event], database: str) -> dict[object, object]:
    """The evidence of another log, folded by the live consumer into an emptied database."""
    from routefold.topics_admin import ensure_topics

    apart = Topics(prefix=f"x{random.getrandbits(48):x}", event_partitions=4)
    await ensure_topics(stack.bootstrap_servers, apart)
    with psycopg.connect(database, options=f"-c search_path={SCHEMA}") as connection:
        connection.execute(f"TRUNCATE {', '.join(TABLES)}".encode())
    await fold_live(stack, apart, database, log)
    contents = side.read_contents(database, side.LIVE)
    return {
        (share, s): sums
        for c in contents.values()
        for share, e in c.kept().items()
        for s, sums in e.items()
    }


def _evidence(outcome: Outcome) -> dict[object, object]:
    contents = outcome.contents.values()
    return {
        (share, s): sums for c in contents for share, e in c.kept().items() for s, sums in e.items()
    }


async def test_without_an_arm_all_other_evidence_is_the_same(installed: Servers) -> None:
    settings = RebuildSettings.make(exclude_arms=("b",))
    without = _evidence(await run(installed, "no_b", settings=settings))
    whole = _evidence(await run(installed, "all"))
    assert without == {row: sums for row, sums in whole.items() if row[1].arm != "b"}  # type: ignore[index]
    assert len(without) < len(whole)


async def test_other_half_lives_and_rewards_are_those_of_the_side_schema(
    installed: Servers,
) -> None:
    settings = RebuildSettings.make(
        half_lives_s={"quality.slow": 86_400.0}, rewards={"r": {"quality": 0.25}}
    )
    outcome = await run(installed, "what_if", settings=settings)
    half_lives = {
        series.half_life_ms
        for contents in outcome.contents.values()
        for rows in contents.evidence.values()
        for series in rows
        if series.metric == "quality" and series.pace == "slow"
    }
    assert half_lives == {86_400_000}
    query = (
        "SELECT DISTINCT (config_text::jsonb -> 'rewards' ->> 'quality')::float8 FROM {}.routers"
    )
    with psycopg.connect(installed.postgres_dsn) as connection:
        schema = side.schema_of("what_if")
        assert connection.execute(query.format(schema).encode()).fetchall() == [(0.25,)]


async def test_a_range_in_the_middle_knows_the_routers_before_it(installed: Servers) -> None:
    positions = side.positions(installed.postgres_dsn, side.LIVE)
    start, end = (
        ",".join(f"{p}:{at * share // 4}" for p, at in positions.items()) for share in (1, 3)
    )
    middle = await run(installed, "middle", start=Bound.parse(start), until=Bound.parse(end))
    for partition, contents in middle.contents.items():
        assert contents.progress.next_offset == positions[partition] * 3 // 4
        assert contents.progress.folded > 0
    assert not table_of(
        installed, "middle", "SELECT 1 FROM dead_letters WHERE reason LIKE '%router'"
    )
    now = Bound.parse(datetime.now(UTC).isoformat())
    assert (await run(installed, "by_time", until=now)).digest == live_digest(installed)


def table_of(servers: Servers, name: str, query: str) -> list[tuple[object, ...]]:
    path = f"-c search_path={side.schema_of(name)}"
    with psycopg.connect(servers.postgres_dsn, options=path) as connection:
        return connection.execute(query.encode()).fetchall()


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
