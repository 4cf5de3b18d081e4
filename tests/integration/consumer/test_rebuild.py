"""Rebuilds on real Kafka and Postgres: the live digest whatever the way there, and never a trace
in the live tables."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from datetime import UTC, datetime

import psutil
import psycopg
import pytest

from consumer.migrate import SCHEMA
from consumer.rebuild import side
from consumer.rebuild.bounds import Bound
from consumer.rebuild.errors import RebuildFailed
from consumer.rebuild.rebuild import Advance, Outcome, Pace, Servers
from consumer.rebuild.settings import RebuildSettings
from schemas.events import Outcome as OutcomeEvent
from schemas.topics import Topics
from tests.factories import T0, traffic
from tests.fixtures.pipeline import eventually
from tests.fixtures.rebuilding import (
    ARMS,
    TABLES,
    Event,
    busy_log,
    everything_live,
    fold_live,
    live_digest,
    run,
    table_of,
)
from tests.fixtures.servers import Servers as Stack

pytestmark = pytest.mark.integration


@pytest.fixture
async def installed(stack: Stack, topics: Topics, database: str) -> Servers:
    """A log of some thousand events, folded by the live consumer."""
    await fold_live(stack, topics, database, busy_log(1200))
    return Servers(stack.bootstrap_servers, topics.events, database)


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
    """Those that run: of one that was killed and not waited for yet, nothing can be read."""
    running = []
    for child in process.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie as well
            if "multiprocessing.spawn" in " ".join(child.cmdline()):
                running.append(child)
    return running


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
