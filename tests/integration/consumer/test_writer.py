"""The writer on real Postgres: one transaction a batch, exactly once, fenced."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from uuid import UUID

import psycopg
import pytest

from consumer.errors import Fenced
from consumer.records import Batch
from consumer.store import Store
from consumer.writer import Writer
from schemas.codec import Event, encode
from schemas.evidence import SeriesKey, Sums
from schemas.request_types import REQUEST_TYPES
from tests.factories import T0, Record, config, configured, outcome, records, traffic, turn, uuid7

pytestmark = pytest.mark.integration

Open = Callable[[], Awaitable[Writer]]


@pytest.fixture
async def open_writer(database: str) -> AsyncIterator[Open]:
    stores: list[Store] = []

    async def open_one() -> Writer:
        stores.append(await Store.connect(database))
        return Writer(stores[-1])

    yield open_one
    for store in stores:
        await store.close()


def table(database: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(database, options="-c search_path=routefold") as connection:
        return connection.execute(query.encode()).fetchall()


def evidence(database: str) -> Mapping[tuple[object, ...], Sums]:
    query = (
        "SELECT partition, router, request_type, arm, metric, pace, half_life_ms, era,"
        " n::text, s1::text, s2::text FROM evidence"
    )
    return {row[:8]: Sums(*(int(str(v)) for v in row[8:])) for row in table(database, query)}


def log(count: int = 300, seed: int = 1) -> list[Record]:
    rng = random.Random(seed)
    arms = ("a", "b", "c")
    cfg = configured(config(arms=arms))
    return records([cfg, *traffic(count, rng, arms=arms, request_types=REQUEST_TYPES)])


async def test_a_log_folds_to_the_same_rows_in_any_batching(
    open_writer: Open, database: str
) -> None:
    everything = log()
    writer = await open_writer()
    await writer.take([0, 1])
    await writer.write(Batch.of({0: everything}))
    rng = random.Random(2)
    at = 0
    while at < len(everything):
        step = rng.randrange(1, 60)
        await writer.write(Batch.of({1: everything[at : at + step]}))
        at += step
    by_partition: dict[object, dict[tuple[object, ...], Sums]] = {0: {}, 1: {}}
    for key, sums in evidence(database).items():
        by_partition[key[0]][key[1:]] = sums
    assert by_partition[0] == by_partition[1]
    assert len(by_partition[0]) > 100
    columns = "folded, duplicates, late, dead, next_offset, stream_time_ms"
    progress = table(database, f"SELECT {columns} FROM partition_progress ORDER BY partition")
    assert progress[0] == progress[1]
    assert progress[0][:5] == (600, 0, 0, 0, 601)


async def test_a_restarted_writer_goes_on_where_the_store_is(
    open_writer: Open, database: str
) -> None:
    everything = log(200)
    first = await open_writer()
    await first.take([0])
    await first.write(Batch.of({0: everything[:150]}))
    second = await open_writer()
    (progress,) = await second.take([0])
    assert progress.next_offset == 150
    await second.write(Batch.of({0: everything[150:]}))
    whole = await open_writer()
    await whole.take([1])
    await whole.write(Batch.of({1: everything}))
    assert _share(second) == _share(whole)
    third = await open_writer()
    await third.take([0])
    assert _share(third) == _share(second)
    assert third.shares.keys(0) == second.shares.keys(0)


def _share(writer: Writer) -> dict[tuple[str, str], dict[SeriesKey, Sums]]:
    found = writer.shares.evidence()
    return {(key.router, key.request_type): dict(rows) for key, rows in found.items()}


async def test_repeats_in_any_batch_change_nothing(open_writer: Open, database: str) -> None:
    rng = random.Random(3)
    one = uuid7(T0, rng)
    says = outcome(one, uuid7(T0 + 1, rng), status="ok", scores={"quality": 0.25})
    again = [outcome(one, uuid7(T0 + i, rng), scores={"quality": 0.9}) for i in range(5)]
    writer = await open_writer()
    await writer.take([0, 1])
    events: list[Event] = [configured(config()), says, turn(one), turn(one), says, *again, says]
    for record in records(events):
        await writer.write(Batch.of({0: [record]}))
    await writer.write(Batch.of({1: records([configured(config()), turn(one), says])}))
    rows = evidence(database)
    assert {k[1:]: v for k, v in rows.items() if k[0] == 0} == {
        k[1:]: v for k, v in rows.items() if k[0] == 1
    }
    progress = table(
        database, "SELECT folded, duplicates, dead FROM partition_progress ORDER BY partition"
    )
    assert progress == [(2, 8, 0), (2, 0, 0)]


async def test_an_overtaken_writer_is_fenced_and_writes_nothing(
    open_writer: Open, database: str
) -> None:
    everything = log(50)
    old, new = await open_writer(), await open_writer()
    await old.take([0])
    await old.write(Batch.of({0: everything[:20]}))
    (held,), (taken,) = old.progress.values(), await new.take([0])
    assert taken.epoch > held.epoch
    before = evidence(database)
    with pytest.raises(Fenced, match="partition 0"):
        await old.write(Batch.of({0: everything[20:]}))
    assert evidence(database) == before
    await new.write(Batch.of({0: everything[20:]}))
    stored = table(database, "SELECT epoch, next_offset FROM partition_progress")
    assert stored == [(taken.epoch, 101)]


async def test_bad_records_are_buried_and_their_neighbours_fold_once(
    open_writer: Open, database: str
) -> None:
    good = log(40)
    alien = [b"", b"not avro", b"\xc3\x01" + bytes(8), good[5].value[:-4] if good[5].value else b""]
    rng = random.Random(4)
    stranger = outcome(uuid7(T0, rng), uuid7(T0, rng), router="nobody")
    too_high = outcome(uuid7(T0, rng), uuid7(T0, rng), scores={"quality": 1.5})
    future = turn(uuid7(T0 + 2 * 10**9, rng))
    bad = [
        *[Record(0, T0, b"k", value) for value in alien],
        Record(0, T0, None, None),
        *[Record(0, T0 + 10**9, e.key, encode(e)) for e in (stranger, too_high, future)],
        Record(0, T0 + 10**9, b"foreign key", good[8].value),
    ]
    mixed = good[:30] + bad + good[30:]
    mixed = [Record(i, r.timestamp, r.key, r.value) for i, r in enumerate(mixed)]
    writer = await open_writer()
    await writer.take([0, 1])
    await writer.write(Batch.of({0: mixed, 1: good}))
    rows = evidence(database)
    assert {k[1:]: v for k, v in rows.items() if k[0] == 0} == {
        k[1:]: v for k, v in rows.items() if k[0] == 1
    }
    letters = table(
        database, "SELECT record_offset, reason, record_value FROM dead_letters ORDER BY 1"
    )
    assert [(at, reason) for at, reason, _ in letters] == [
        (30, "undecodable"),
        (31, "undecodable"),
        (32, "undecodable"),
        (33, "undecodable"),
        (34, "undecodable"),
        (35, "unknown_router"),
        (36, "impossible_value"),
        (37, "impossible_time"),
        (38, "wrong_key"),
    ]
    assert [value for _, _, value in letters] == [r.value for r in bad]
    dead = "SELECT dead FROM partition_progress ORDER BY partition"
    assert table(database, dead) == [(9,), (0,)]


async def test_late_facts_are_refused_and_counted(open_writer: Open, database: str) -> None:
    rng = random.Random(5)
    day = 86_400_000
    old, recent = uuid7(T0, rng), uuid7(T0 + 2 * day, rng)
    events: list[Event] = [
        configured(config()),
        turn(old),
        turn(recent),
        outcome(old, uuid7(T0, rng)),
        outcome(recent, uuid7(T0, rng)),
    ]
    writer = await open_writer()
    await writer.take([0])
    await writer.write(Batch.of({0: records(events)}))
    counts = table(database, "SELECT folded, duplicates, late FROM event_counts")
    assert counts == [(3, 0, 1)]
    await writer.forget()
    assert table(database, "SELECT turn_id FROM turn_states") == [(UUID(bytes=recent),)]


async def test_events_are_judged_by_the_configuration_before_them(
    open_writer: Open, database: str
) -> None:
    rng = random.Random(6)
    first, second = config(arms=("a", "b")), config(arms=("a", "b", "c"))
    ids = [uuid7(T0 + i, rng) for i in range(3)]
    events: list[Event] = [
        configured(first),
        turn(ids[0], arm="c"),
        configured(second, 2),
        turn(ids[1], arm="c"),
        configured(first, 1),
        turn(ids[2], arm="c"),
    ]
    writer = await open_writer()
    await writer.take([0])
    await writer.write(Batch.of({0: records(events)}))
    assert table(database, "SELECT record_offset, reason FROM dead_letters") == [(1, "unknown_arm")]
    assert table(database, "SELECT version, arms FROM routers") == [(2, ["a", "b", "c"])]
    assert table(database, "SELECT folded FROM event_counts") == [(2,)]


async def test_evidence_that_decayed_to_nothing_is_dropped(
    open_writer: Open, database: str
) -> None:
    rng = random.Random(7)
    cfg = config(half_lives_s={"latency": {"slow": 60.0, "fast": 1.0}})
    old, new = uuid7(T0, rng), uuid7(T0 + 3_600_000, rng)
    first, second = (outcome(i, uuid7(T0, rng), status="ok", latency_ms=100.0) for i in (old, new))
    writer = await open_writer()
    await writer.take([0])
    await writer.write(Batch.of({0: records([configured(cfg), first])}))
    await writer.write(Batch.of({0: records([second], 2)}))
    paces = "SELECT pace, count(*) FROM evidence WHERE metric = 'latency_ms' GROUP BY 1 ORDER BY 1"
    assert table(database, paces) == [("fast", 2), ("slow", 2)]
    before = evidence(database)
    await writer.forget()
    # an hour is 225 eras of the fast pace, and under four of the slow one
    assert table(database, paces) == [("fast", 1), ("slow", 2)]
    assert evidence(database).items() <= before.items()
