"""The worker on real Kafka and Postgres: exactly once through restarts, rebalances and outages."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import psycopg
import pytest
from aiokafka import AIOKafkaProducer

from consumer.errors import LogMismatch, SchemaOutdated, Unreachable
from consumer.migrate import migrate
from schemas.codec import decode
from schemas.events import Outcome, Progress, Turn
from schemas.evidence import SeriesKey, Sums
from schemas.request_types import REQUEST_TYPES
from schemas.snapshot import Snapshot
from schemas.topics import Topics
from tests.factories import config, configured, traffic
from tests.fixtures.pipeline import (
    consuming,
    events_in_log,
    eventually,
    folded,
    publish,
    read_log,
    stored_evidence,
    table,
)
from tests.fixtures.servers import Servers
from tests.oracle import Oracle

pytestmark = pytest.mark.integration

ARMS = ("a", "b", "c")


def events(count: int, seed: int = 1) -> list[Turn | Outcome]:
    return list(traffic(count, random.Random(seed), arms=ARMS, request_types=REQUEST_TYPES))


async def oracle_rows(stack: Servers, topics: Topics) -> dict[tuple[object, ...], list[int]]:
    """What the log holds, counted by hand, partition by partition."""
    rows: dict[tuple[object, ...], list[int]] = {}
    for partition, log in (await events_in_log(stack.bootstrap_servers, topics)).items():
        for key, sums in Oracle().fold(log).rows.items():
            rows[(partition, *key)] = sums
    return rows


def rows_of(database: str) -> dict[tuple[object, ...], list[int]]:
    return {(*k[:6], k[7]): list(v) for k, v in stored_evidence(database).items()}


async def test_the_log_is_folded_exactly_once_over_restarts(
    stack: Servers, topics: Topics, database: str
) -> None:
    log = events(1000)
    await publish(stack.bootstrap_servers, topics, [configured(config(arms=ARMS))])
    for start in range(0, len(log), 500):
        await publish(stack.bootstrap_servers, topics, log[start : start + 500])
        async with consuming(stack.bootstrap_servers, database, topics):
            await eventually(lambda upto=start + 500: folded(database) >= upto)
    assert rows_of(database) == await oracle_rows(stack, topics)
    columns = "sum(folded), sum(duplicates), sum(dead)"
    assert table(database, f"SELECT {columns} FROM partition_progress") == [(2000, 0, 0)]


async def test_two_consumers_share_the_partitions_and_agree(
    stack: Servers, topics: Topics, database: str
) -> None:
    log = events(1500)
    await publish(stack.bootstrap_servers, topics, [configured(config(arms=ARMS))])
    async with consuming(stack.bootstrap_servers, database, topics):
        await publish(stack.bootstrap_servers, topics, log[:1000])
        async with consuming(stack.bootstrap_servers, database, topics):
            await publish(stack.bootstrap_servers, topics, log[1000:2000])
            await eventually(lambda: folded(database) >= 2000)
        await publish(stack.bootstrap_servers, topics, log[2000:])
        await eventually(lambda: folded(database) >= 3000)
    assert rows_of(database) == await oracle_rows(stack, topics)


async def test_snapshots_say_what_the_database_holds(
    stack: Servers, topics: Topics, database: str
) -> None:
    await publish(stack.bootstrap_servers, topics, [configured(config(arms=ARMS)), *events(400)])
    async with consuming(stack.bootstrap_servers, database, topics):
        await eventually(lambda: folded(database) >= 800)
    first = await latest_snapshots(stack, topics)
    assert evidence_of(first) == stored_evidence(database)
    # a start publishes everything again, under the new epoch: it heals a lost topic
    before = _epochs(database)
    async with consuming(stack.bootstrap_servers, database, topics):
        await eventually(lambda: not before & _epochs(database))
        await asyncio.sleep(0.3)
    again = await latest_snapshots(stack, topics)
    assert evidence_of(again) == evidence_of(first)
    epochs = {s.epoch for s in again.values() if isinstance(s, Snapshot)}
    assert min(epochs) > max(before)
    progress = [p for p in again.values() if isinstance(p, Progress)]
    assert sum(p.folded for p in progress) == 800


def _epochs(database: str) -> set[int]:
    return {int(str(row[0])) for row in table(database, "SELECT epoch FROM partition_progress")}


async def test_a_lost_database_is_made_anew_from_the_log_and_routers_follow(
    stack: Servers, topics: Topics, database: str
) -> None:
    log = [configured(config(arms=ARMS)), *events(1500)]
    await publish(stack.bootstrap_servers, topics, log)
    async with consuming(stack.bootstrap_servers, database, topics):
        await eventually(lambda: folded(database) >= 3000)
    before, stored, epochs = (
        await latest_snapshots(stack, topics),
        stored_evidence(database),
        _epochs(database),
    )

    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP SCHEMA routefold CASCADE")
    migrate(database)
    heard = len((await read_log(stack.bootstrap_servers, topics.snapshots))[0])
    async with consuming(stack.bootstrap_servers, database, topics):
        await eventually(lambda: folded(database) >= 3000)
        await asyncio.sleep(0.5)

    assert stored_evidence(database) == stored
    assert min(_epochs(database)) > max(epochs)
    after = await latest_snapshots(stack, topics)
    assert evidence_of(after) == evidence_of(before)
    # of no partition did routers hear less than they knew
    log_of_snapshots = await read_log(stack.bootstrap_servers, topics.snapshots)
    told = (decode(value) for _, value in log_of_snapshots[0][heard:])
    said = [s for s in told if isinstance(s, Snapshot)]
    assert {s.key for s in said} == {key for key, s in before.items() if isinstance(s, Snapshot)}
    for snapshot in said:
        known = before[snapshot.key]
        assert isinstance(known, Snapshot)
        assert snapshot.source_offset >= known.source_offset
        assert snapshot.position > known.position


async def latest_snapshots(stack: Servers, topics: Topics) -> dict[bytes, object]:
    log = await read_log(stack.bootstrap_servers, topics.snapshots)
    return {key: decode(value) for key, value in log[0]}


def evidence_of(snapshots: Mapping[bytes, object]) -> dict[tuple[object, ...], Sums]:
    return {
        (s.partition, s.router, s.request_type, *key): sums
        for s in snapshots.values()
        if isinstance(s, Snapshot)
        for key, sums in s.evidence.items()
        if isinstance(key, SeriesKey)
    }


async def test_the_database_may_go_away_for_a_while(
    stack: Servers, topics: Topics, database: str
) -> None:
    log = events(600)
    await publish(stack.bootstrap_servers, topics, [configured(config(arms=ARMS)), *log[:600]])
    async with consuming(stack.bootstrap_servers, database, topics):
        await eventually(lambda: folded(database) >= 600)
        name = psycopg.conninfo.conninfo_to_dict(database)["dbname"]
        with psycopg.connect(stack.postgres_dsn, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
            )
            await publish(stack.bootstrap_servers, topics, log[600:])
            await eventually(lambda: folded(database) >= 1200)
            await eventually(lambda: routers_see_all(stack, topics, database))
    assert rows_of(database) == await oracle_rows(stack, topics)


async def routers_see_all(stack: Servers, topics: Topics, database: str) -> bool:
    """True once the snapshots topic holds what the database does."""
    return evidence_of(await latest_snapshots(stack, topics)) == stored_evidence(database)


async def test_alien_bytes_become_dead_letters(
    stack: Servers, topics: Topics, database: str
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers)
    await producer.start()
    await producer.send_and_wait(topics.events, b"\xff alien \xff", key=b"k", partition=2)
    await producer.stop()
    await publish(stack.bootstrap_servers, topics, [configured(config(arms=ARMS)), *events(50)])
    async with consuming(stack.bootstrap_servers, database, topics):
        await eventually(lambda: folded(database) >= 101)
    letters = "SELECT partition, record_offset, reason, record_value FROM dead_letters"
    assert table(database, letters) == [(2, 0, "undecodable", b"\xff alien \xff")]
    counts = "SELECT sum(folded), sum(dead) FROM partition_progress"
    assert table(database, counts) == [(100, 1)]


async def test_a_log_that_lost_the_next_offset_stops_the_consumer(
    stack: Servers, topics: Topics, database: str
) -> None:
    await publish(stack.bootstrap_servers, topics, [configured(config(arms=ARMS)), *events(20)])
    with psycopg.connect(database, options="-c search_path=routefold") as connection:
        connection.execute(
            "INSERT INTO partition_progress (partition, epoch, next_offset) VALUES (1, 3, 999)"
        )
    with pytest.raises(LogMismatch, match=r"partition 1 .* offset 999"):
        async with consuming(stack.bootstrap_servers, database, topics) as task:
            await asyncio.wait_for(asyncio.shield(task), 30)


async def test_unreachable_servers_and_old_tables_are_one_clear_line(
    stack: Servers, topics: Topics, database: str
) -> None:
    nowhere = "127.0.0.1:1"
    with pytest.raises(Unreachable, match=r"Kafka at 127\.0\.0\.1:1 is not reachable"):
        async with consuming(nowhere, database, topics) as task:
            await task
    no_server = "postgresql://u:hunter2@127.0.0.1:1/x"
    with pytest.raises(Unreachable, match=r"Postgres at 127\.0\.0\.1:1") as caught:
        async with consuming(stack.bootstrap_servers, no_server, topics) as task:
            await task
    assert "hunter2" not in str(caught.value)
    with pytest.raises(SchemaOutdated, match="routefold init"):
        async with consuming(stack.bootstrap_servers, stack.postgres_dsn, topics) as task:
            await task
