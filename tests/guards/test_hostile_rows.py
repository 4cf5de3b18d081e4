"""Rows that were changed by hand: a consumer goes on without them, and says so."""

from __future__ import annotations

import asyncio
import random
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest

from consumer.app import run_consumer
from consumer.fold import ShareKey
from consumer.records import Batch
from consumer.store import Store
from consumer.writer import Writer
from schemas.evidence import SeriesKey
from schemas.topics import Topics
from tests.e2e.deployment import free_port
from tests.factories import config, configured, records, traffic
from tests.fixtures.pipeline import eventually, folded, publish
from tests.fixtures.servers import Servers

pytestmark = pytest.mark.integration

SHARE = ShareKey(0, "r", "general")
ROW = "partition = 0 AND request_type = 'general' AND arm = 'a' AND metric = 'quality'"
SERIES = SeriesKey("a", "quality", "slow", 0, 0)
Open = Callable[[], Awaitable[Writer]]


@pytest.fixture
async def taken(database: str) -> AsyncIterator[Open]:
    """Opens one more writer of partition 0."""
    stores: list[Store] = []

    async def take() -> Writer:
        stores.append(await Store.connect(database))
        writer = Writer(stores[-1])
        await writer.take([0])
        return writer

    yield take
    for store in stores:
        await store.close()


def change(database: str, row: str, column: str, value: str) -> None:
    with psycopg.connect(database, options="-c search_path=routefold") as connection:
        statement = f"UPDATE evidence SET {column} = %s::numeric WHERE {row}"
        assert connection.execute(statement.encode(), [value]).rowcount > 0


@pytest.mark.parametrize("column", ["n", "s1", "s2"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param("NaN", id="not a number"),
        pytest.param("Infinity", id="infinite"),
        pytest.param("-Infinity", id="negative infinity"),
        pytest.param("-65536", id="negative"),
        pytest.param("0.5", id="a fraction"),
        pytest.param("1e60", id="more than can be observed"),
        pytest.param("1e100000", id="more digits than Python reads"),
    ],
)
async def test_a_writer_refuses_the_row_and_goes_on(
    taken: Open, database: str, column: str, value: str
) -> None:
    events = list(traffic(60, random.Random(1)))
    first = await taken()
    await first.write(Batch.of({0: records([configured(config()), *events[:80]])}))
    before = first.shares.evidence()[SHARE]
    change(database, f"{ROW} AND pace = 'slow'", column, value)

    writer = await taken()

    assert writer.refused_rows == 1
    left = {series: sums for series, sums in before.items() if series != SERIES}
    assert len(left) < len(before)
    assert writer.shares.evidence()[SHARE] == left
    (progress,) = writer.progress.values()
    await writer.write(Batch.of({0: records(events[80:], progress.next_offset)}))
    new = writer.shares.evidence()[SHARE][SERIES]
    assert 0 < new.n < before[SERIES].n
    assert all(map(writer.snapshot, writer.shares.keys(0)))


async def test_a_row_of_nothing_is_no_evidence(taken: Open, database: str) -> None:
    first = await taken()
    await first.write(
        Batch.of({0: records([configured(config()), *traffic(20, random.Random(1))])})
    )
    for column in ("n", "s1", "s2"):
        change(database, f"{ROW} AND pace = 'slow'", column, "0")
    writer = await taken()
    assert writer.refused_rows == 0
    snapshot = writer.snapshot(SHARE)
    assert snapshot is not None
    assert SERIES not in snapshot.evidence


@asynccontextmanager
async def consuming(
    stack: Servers, database: str, topics: Topics, port: int
) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(
        run_consumer(
            bootstrap_servers=stack.bootstrap_servers,
            postgres_dsn=database,
            topics=topics,
            group_id=f"{topics.prefix}-g",
            metrics_port=port,
            stop=stop,
        )
    )
    try:
        yield
    finally:
        stop.set()
        await task


async def test_a_consumer_counts_the_rows_it_refuses_and_folds_on(
    stack: Servers, topics: Topics, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    events = list(traffic(100, random.Random(1)))
    port = free_port()
    await publish(stack.bootstrap_servers, topics, [configured(config()), *events[:100]])
    async with consuming(stack, database, topics, port):
        await eventually(lambda: folded(database) >= 100)
    change(database, "arm = 'a' AND metric = 'quality'", "n", "NaN")

    async with consuming(stack, database, topics, port):
        await publish(stack.bootstrap_servers, topics, events[100:])
        await eventually(lambda: folded(database) >= 200)
        url = f"http://127.0.0.1:{port}/metrics"
        answer = await asyncio.to_thread(urllib.request.urlopen, url, timeout=10)
        with answer:
            metrics = answer.read().decode()

    (counted,) = (
        float(line.split()[1])
        for line in metrics.splitlines()
        if line.startswith("routefold_consumer_refused_rows_total ")
    )
    assert counted > 0
    assert "evidence that can't be" in capsys.readouterr().out
