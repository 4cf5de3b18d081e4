"""Verify on real Kafka and Postgres: equal is equal, and one changed row is found and named."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import Any

import psycopg
import pytest

from consumer.migrate import SCHEMA
from consumer.rebuild import side
from consumer.rebuild.bounds import Bound
from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.rebuild import Advance, Pace, Servers, rebuild
from consumer.rebuild.settings import RebuildSettings
from consumer.rebuild.verify import Verdict, verify
from routefold.rebuilds.render import verdict_json, verdict_text
from schemas.codec import decode
from schemas.events import Outcome, Turn
from schemas.request_types import REQUEST_TYPES
from schemas.topics import Topics
from tests.factories import T0, config, configured, traffic
from tests.fixtures.pipeline import consuming, eventually, folded, publish, read_log
from tests.fixtures.servers import Servers as Stack

pytestmark = pytest.mark.integration

ARMS = ("a", "b", "c")
CONFIG = config(arms=ARMS, half_lives_s={"quality": {"slow": None, "fast": 60.0}})
PACE = Pace(workers=2)


async def fold_live(stack: Stack, topics: Topics, database: str, start_ms: int) -> None:
    """One thousand events more."""
    rng = random.Random(start_ms)
    log = list(traffic(500, rng, arms=ARMS, request_types=REQUEST_TYPES, start_ms=start_ms))
    await publish(stack.bootstrap_servers, topics, log)
    wanted = folded(database) + len(log)
    async with consuming(stack.bootstrap_servers, database, topics):
        await eventually(lambda: folded(database) >= wanted, timeout_s=60)


@pytest.fixture
async def installed(stack: Stack, topics: Topics, database: str) -> Servers:
    await publish(stack.bootstrap_servers, topics, [configured(CONFIG)])
    await fold_live(stack, topics, database, T0)
    return Servers(stack.bootstrap_servers, topics.events, database)


def _ignored(_: Advance) -> None:
    pass


async def verified(servers: Servers, name: str | None = None) -> Verdict:
    return await verify(servers, name, PACE, _ignored)


async def rebuilt(servers: Servers, name: str, **options: Any) -> None:
    fields = {"settings": RebuildSettings(), "start": None, "until": None} | options
    await rebuild(servers, name, pace=PACE, on_advance=_ignored, **fields)


def change(servers: Servers, statement: str, schema: str = SCHEMA) -> list[tuple[Any, ...]]:
    """Run a statement with RETURNING on a schema's tables."""
    options = f"-c search_path={schema}"
    with psycopg.connect(servers.postgres_dsn, options=options) as connection:
        return connection.execute(statement.encode()).fetchall()


ONE_ROW = """
    WHERE (partition, router, request_type, arm, metric, pace, half_life_ms, era) = (
        SELECT partition, router, request_type, arm, metric, pace, half_life_ms, era
        FROM evidence WHERE metric = 'quality' AND pace = 'slow' AND partition = 2
        ORDER BY request_type, arm LIMIT 1)
    RETURNING request_type, arm
"""


async def events_of(
    stack: Stack, topics: Topics, partition: int
) -> list[tuple[int, Turn | Outcome]]:
    """Offset and event of all but the configurations."""
    log = await read_log(stack.bootstrap_servers, topics.events, topics.event_partitions)
    found = [(offset, decode(value)) for offset, (_, value) in enumerate(log[partition])]
    return [(at, event) for at, event in found if isinstance(event, Turn | Outcome)]


async def test_equal_tables_are_equal_and_nothing_is_left_behind(
    installed: Servers, stack: Stack, topics: Topics, database: str
) -> None:
    verdict = await verified(installed)
    assert verdict.equal
    live, rebuilt_digest = verdict.digests
    assert live == rebuilt_digest
    assert "all: equal" in verdict_text(verdict)
    assert side.names(database) == []
    await rebuilt(installed, "check")
    assert (await verified(installed, "check")).equal
    # what came since is folded on top of the rebuild, in memory
    await fold_live(stack, topics, database, T0 + 1_000_000)
    later = await verified(installed, "check")
    assert later.equal
    assert later.digests[0] != live
    assert sum(side.positions(database, "check").values()) == 1004


async def test_one_changed_row_is_found_and_named(
    installed: Servers, stack: Stack, topics: Topics
) -> None:
    ((request_type, arm),) = change(installed, f"UPDATE evidence SET s1 = s1 + 1 {ONE_ROW}")
    verdict = await verified(installed)
    (row,) = verdict.rows
    assert not verdict.counts
    assert (row.share.partition, row.share.router) == (2, "r")
    assert (row.share.request_type, row.series.arm) == (request_type, arm)
    assert (row.series.metric, row.series.pace) == ("quality", "slow")
    assert row.live is not None
    assert row.rebuilt is not None
    assert row.live.s1 == row.rebuilt.s1 + 1
    # no prefix of the log has these sums, so the row's first event is all that can be said
    first = next(
        at
        for at, event in await events_of(stack, topics, 2)
        if isinstance(event, Outcome)
        and (event.request_type, event.arm) == (request_type, arm)
        and event.scores
    )
    (parting,) = verdict.partings.values()
    assert (parting.first, parting.exact) == (first, None)
    document = verdict_json(verdict, None)
    assert not document["equal"]
    assert [p["equal"] for p in document["partitions"]] == [True, True, False, True]
    (difference,) = document["differences"]
    assert difference["metric"] == "quality"
    assert difference["first_offset"] == first
    assert f"they part at offset {first:,}" in verdict_text(verdict)


async def test_a_row_that_lacks_its_last_events_parts_exactly_there(
    installed: Servers, stack: Stack, topics: Topics
) -> None:
    """As if a consumer had moved on without folding them."""
    outcomes = [
        (at, event)
        for at, event in await events_of(stack, topics, 2)
        if isinstance(event, Outcome) and event.scores
    ]
    at, last = outcomes[-1]
    x = round(last.scores["quality"] * 1024)
    ((request_type, arm),) = change(
        installed,
        f"UPDATE evidence SET n = n - 65536, s1 = s1 - {65536 * x}, s2 = s2 - {65536 * x * x} "
        f"WHERE partition = 2 AND metric = 'quality' AND pace = 'slow' "
        f"AND request_type = '{last.request_type}' AND arm = '{last.arm}' "
        "RETURNING request_type, arm",
    )
    verdict = await verified(installed)
    (parting,) = verdict.partings.values()
    assert parting.exact == at
    assert (verdict.rows[0].share.request_type, verdict.rows[0].series.arm) == (request_type, arm)
    assert "the live tables lack it" in verdict_text(verdict)


async def test_missing_and_invented_rows_and_counts(installed: Servers) -> None:
    change(installed, f"DELETE FROM evidence {ONE_ROW}")
    change(
        installed,
        "INSERT INTO evidence VALUES (1, 'r', 'general', 'a', 'ghost', 'slow', 0, 0, 5, 5, 5) "
        "RETURNING era",
    )
    change(
        installed,
        "UPDATE event_counts SET late = late + 3 WHERE partition = 0 AND request_type = 'writing'"
        " RETURNING late",
    )
    verdict = await verified(installed)
    invented, missing = verdict.rows
    assert (invented.series.metric, invented.rebuilt) == ("ghost", None)
    assert (missing.series.metric, missing.live) == ("quality", None)
    (parting,) = verdict.partings.values()
    assert parting.exact == parting.first  # all of it is missing
    (counted,) = verdict.counts
    assert (counted.name, counted.live - counted.rebuilt) == ("late", 3)
    assert "no event of the log adds to it" in verdict_text(verdict)


async def test_a_damaged_rebuild_differs_too(installed: Servers) -> None:
    await rebuilt(installed, "bad")
    change(installed, f"UPDATE evidence SET n = n + 7 {ONE_ROW}", side.schema_of("bad"))
    verdict = await verified(installed, "bad")
    (row,) = verdict.rows
    assert row.live is not None
    assert row.rebuilt is not None
    assert row.rebuilt.n == row.live.n + 7
    assert (await verified(installed)).equal


async def test_what_can_not_be_compared(
    installed: Servers, stack: Stack, topics: Topics, database: str
) -> None:
    await rebuilt(installed, "other", settings=RebuildSettings.make(exclude_arms=("a",)))
    await rebuilt(installed, "late", start=Bound.parse("3"))
    for name, message in (
        ("nobody", "there is no rebuild 'nobody'; there are: late, other"),
        ("other", r"other settings than the live tables \(exclude_arms.*routefold diff live other"),
        ("late", "from: 3, not the beginning"),
        ("live", "the name of the live tables"),
    ):
        with pytest.raises(RebuildRefused, match=message):
            await verified(installed, name)
    log = list(traffic(50, random.Random(4), start_ms=T0 + 10_000_000, arms=ARMS))
    await publish(stack.bootstrap_servers, topics, log)
    await rebuilt(installed, "ahead")
    with pytest.raises(RebuildRefused, match="verify it when the consumer has got that far"):
        await verified(installed, "ahead")
    change(installed, "DELETE FROM partition_progress RETURNING epoch")
    with pytest.raises(RebuildRefused, match="hold no events yet"):
        await verified(installed)


def test_the_commands_say_it_with_their_exit_codes(
    installed: Servers, topics: Topics, tmp_path: Any
) -> None:
    environment = {
        **os.environ,
        "ROUTEFOLD_BOOTSTRAP_SERVERS": installed.bootstrap_servers,
        "ROUTEFOLD_POSTGRES_DSN": installed.postgres_dsn,
        "ROUTEFOLD_TOPIC_PREFIX": topics.prefix,
    }

    def routefold(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "routefold", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=environment, check=False
        )

    made = routefold("rebuild", "--into", "check", "--workers", "2", "--json", "-")
    assert made.returncode == 0, made.stderr
    document = json.loads(made.stdout)
    assert (document["state"], document["events"]) == ("complete", 1004)
    equal = routefold("verify", "check")
    assert equal.returncode == 0, equal.stderr
    assert f"all: equal, digest {document['digest']}" in equal.stdout
    change(installed, f"UPDATE evidence SET s2 = s2 + 1 {ONE_ROW}")
    report = tmp_path / "report.json"
    different = routefold("verify", "--json", str(report))
    assert different.returncode == 1, different.stderr
    assert "DIFFERENT" in different.stdout
    assert json.loads(report.read_text())["differences"][0]["partition"] == 2
    listed = routefold("rebuild", "--list")
    assert "check" in listed.stdout
    assert "complete" in listed.stdout
    assert routefold("rebuild", "--drop", "check").returncode == 0
    for arguments, message in (
        (("rebuild", "--drop", "check"), "there is no rebuild 'check'"),
        (("verify", "check"), "there is no rebuild 'check'"),
        (("rebuild", "--into", "x", "--until", "soon"), "'soon' is neither a time"),
        (("rebuild", "--into", "x", "--half-life", "quality.slow"), "quality.slow=7d"),
        (("rebuild", "--into", "x", "--half-life", "speed.slow=1h"), "half_lives_s"),
        (("rebuild",), "--into NAME"),
    ):
        refused = routefold(*arguments)
        assert refused.returncode == 2, refused.stderr
        assert message in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
