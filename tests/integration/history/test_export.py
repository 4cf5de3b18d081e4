"""The log as Parquet, from real Kafka: complete, by day, and in as many runs as one likes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from aiokafka import AIOKafkaProducer

from routefold.errors import Misuse
from routefold.history import Position, read_history
from routefold.history.archive import open_archive
from routefold.history.errors import LogDiffers, NoArchive
from routefold.history.export import Exported, export
from routefold.topics_admin import ensure_topics
from schemas.codec import encode
from schemas.events import Outcome, RouterConfigured, Turn
from schemas.topics import Topics
from tests.factories import T0, config, configured, traffic
from tests.fixtures.pipeline import publish, read_log
from tests.fixtures.servers import Servers

pytestmark = pytest.mark.integration

DAY_MS = 24 * 3600 * 1000


class Told:
    """Progress, remembered."""

    def __init__(self) -> None:
        self.read: list[tuple[int, int]] = []
        self.days: list[tuple[int, int]] = []

    def reading(self, done: int, total: int) -> None:
        self.read.append((done, total))

    def joining(self, done: int, total: int) -> None:
        self.days.append((done, total))


class Exporter:
    """Exports of one topic."""

    def __init__(self, stack: Servers, topics: Topics) -> None:
        self._servers = stack.bootstrap_servers
        self.topics = topics

    async def publish(self, *events: Turn | Outcome | RouterConfigured) -> None:
        await publish(self._servers, self.topics, events)

    async def run(self, directory: Path, **options: Any) -> Exported:
        given = {"progress": Told(), **options}
        return await export(self._servers, self.topics, directory, **given)

    async def log(self) -> dict[int, list[tuple[bytes, bytes]]]:
        """Keys and values by partition."""
        return dict(await read_log(self._servers, self.topics.events, 4))


@pytest.fixture
def exporter(stack: Servers, topics: Topics) -> Exporter:
    return Exporter(stack, topics)


def days_of_traffic(count: int, seed: int = 1, router: str = "r") -> Iterable[Turn | Outcome]:
    """Turns over three days."""
    step_ms = 3 * DAY_MS // count
    return traffic(count, random.Random(seed), start_ms=T0, step_ms=step_ms, router=router)


def archived(directory: Path) -> dict[int, list[tuple[bytes | None, bytes | None]]]:
    """Keys and values by partition."""
    archive = open_archive(directory)
    return {
        partition: [
            record
            for batch in archive.batches(partition)
            for record in zip(batch.keys, batch.values, strict=True)
        ]
        for partition in archive.ranges
    }


async def test_everything_is_in_the_archive(
    exporter: Exporter, stack: Servers, tmp_path: Path
) -> None:
    await exporter.publish(configured(config()), *days_of_traffic(300))
    told = Told()
    done = await exporter.run(tmp_path / "a", progress=told)
    assert done.records == 604
    assert done.rows == {"turns": 300, "outcomes": 300, "joined": 300}
    assert told.read[-1] == (604, 604)
    assert told.days[-1] == (4, 4)
    assert archived(tmp_path / "a") == await exporter.log()
    history = await read_history(stack.bootstrap_servers, exporter.topics)
    archive = open_archive(tmp_path / "a")
    for name in ("turns", "outcomes", "joined"):
        found = archive.scan(name).sort("partition", "offset").collect()
        assert found.drop("day").equals(getattr(history, name)), name
        folders = sorted(folder.name for folder in (tmp_path / "a" / name).iterdir())
        assert folders == [f"day=2025-10-{day:02}" for day in (9, 10, 11, 12)]


async def test_polars_and_duckdb_read_it_by_glob(exporter: Exporter, tmp_path: Path) -> None:
    await exporter.publish(configured(config()), *days_of_traffic(100))
    await exporter.run(tmp_path / "a")
    glob = str(tmp_path / "a" / "joined" / "**" / "*.parquet")
    lazy = pl.scan_parquet(glob, hive_partitioning=True)
    by_day = lazy.group_by("day").agg(pl.len(), pl.col("cost_usd").sum()).sort("day").collect()
    assert by_day["len"].sum() == 100
    assert by_day.schema["day"] == pl.Date
    records = pl.scan_parquet(tmp_path / "a" / "events" / "**" / "*.parquet")
    assert records.select(pl.len()).collect().item() == 204
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT day, count(*), sum(cost_usd) FROM read_parquet('{glob}') GROUP BY 1 ORDER BY 1"
        ).fetchall()
        assert [(day, count) for day, count, _ in rows] == by_day.select("day", "len").rows()
        unnested = "SELECT unnest(scores, recursive := true) FROM read_parquet(?)"
        assert len(connection.execute(unnested, [glob]).fetchall()) == 100


async def test_a_second_run_adds_what_is_new(exporter: Exporter, tmp_path: Path) -> None:
    events = list(days_of_traffic(200))
    await exporter.publish(configured(config()), *events[:251])
    first = await exporter.run(tmp_path / "a")
    assert (await exporter.run(tmp_path / "a")).records == 0
    kept = {file.path for file in first.manifest.events}
    await exporter.publish(*events[251:])
    second = await exporter.run(tmp_path / "a")
    assert second.records == 149
    assert second.rows["turns"] + second.rows["outcomes"] == 149
    assert kept < {file.path for file in second.manifest.events}
    assert archived(tmp_path / "a") == await exporter.log()
    once = tmp_path / "once"
    await exporter.run(once)
    for name in ("turns", "outcomes", "joined"):
        in_two, in_one = (
            open_archive(path).scan(name).sort("partition", "offset").collect()
            for path in (tmp_path / "a", once)
        )
        assert in_two.equals(in_one), name


async def test_a_stretch_and_then_the_rest(exporter: Exporter, tmp_path: Path) -> None:
    await exporter.publish(configured(config()), *days_of_traffic(100))
    ends = Position(offsets={0: 10, 1: 10, 2: 0})
    await exporter.run(tmp_path / "a", end=ends)
    ranges = open_archive(tmp_path / "a").ranges
    assert [ranges[p].end for p in (0, 1, 2)] == [10, 10, 0]
    beginning = Position(offsets=dict.fromkeys(range(4), 0))
    await exporter.run(tmp_path / "a", start=beginning)
    assert archived(tmp_path / "a") == await exporter.log()


async def test_what_would_leave_a_gap_is_refused(exporter: Exporter, tmp_path: Path) -> None:
    await exporter.publish(configured(config()), *days_of_traffic(100))
    await exporter.run(tmp_path / "a", start=Position.parse("0:5"), end=Position.parse("0:10"))
    for start in ("0:11", "0:4"):
        with pytest.raises(Misuse, match="leave --from out"):
            await exporter.run(tmp_path / "a", start=Position.parse(start))
    await exporter.run(tmp_path / "a")
    assert open_archive(tmp_path / "a").ranges[0].start == 5
    assert archived(tmp_path / "a")[0] == (await exporter.log())[0][5:]


async def test_one_router(exporter: Exporter, tmp_path: Path) -> None:
    known = [configured(config(router)) for router in ("r", "other")]
    await exporter.publish(*known, *days_of_traffic(40), *days_of_traffic(30, 2, "other"))
    done = await exporter.run(tmp_path / "a", router="other")
    assert done.rows["joined"] == 30
    assert not (tmp_path / "a" / "events").exists()
    assert (await exporter.run(tmp_path / "a", router="other")).records == 0
    with pytest.raises(Misuse, match="--router other"):
        await exporter.run(tmp_path / "a")


async def test_another_log_is_not_added(exporter: Exporter, tmp_path: Path) -> None:
    await exporter.publish(configured(config()), *days_of_traffic(40))
    await exporter.run(tmp_path / "a")
    manifest = tmp_path / "a" / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace(exporter.topics.events, "another.events"))
    with pytest.raises(Misuse, match=r"archive of another\.events"):
        await exporter.run(tmp_path / "a")
    manifest.write_text(text)


async def test_a_log_that_was_made_anew_is_not_added(
    exporter: Exporter, stack: Servers, tmp_path: Path
) -> None:
    other = Topics(prefix=f"{exporter.topics.prefix}b", event_partitions=4)
    await ensure_topics(stack.bootstrap_servers, other)
    await exporter.publish(configured(config()), *days_of_traffic(40))
    await exporter.run(tmp_path / "a")
    anew = Exporter(stack, other)
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(exporter.topics.events, other.events))
    with pytest.raises(LogDiffers, match="another log"):  # shorter
        await anew.run(tmp_path / "a")
    await anew.publish(configured(config()), *days_of_traffic(90, seed=7))
    with pytest.raises(LogDiffers, match="is another record"):
        await anew.run(tmp_path / "a")


async def test_an_interrupted_export_leaves_the_archive_as_it_was(
    exporter: Exporter, tmp_path: Path
) -> None:
    await exporter.publish(configured(config()), *days_of_traffic(60))
    running: list[asyncio.Task[Exported]] = []

    loop = asyncio.get_running_loop()

    async def cancel() -> None:
        running[0].cancel()
        # the export waits for this thread, which waits for this: time for it to notice, no more
        await asyncio.wait(running, timeout=0.2)

    class Interrupting(Told):
        def joining(self, *_: int) -> None:
            asyncio.run_coroutine_threadsafe(cancel(), loop).result()

    async def interrupted(directory: Path) -> None:
        running[:] = [asyncio.create_task(exporter.run(directory, progress=Interrupting()))]
        with pytest.raises(asyncio.CancelledError):
            await running[0]

    await interrupted(tmp_path / "first")
    with pytest.raises(NoArchive, match="interrupted"):
        open_archive(tmp_path / "first")
    await exporter.run(tmp_path / "a")
    before = archived(tmp_path / "a")
    await exporter.publish(*days_of_traffic(60, seed=2))
    await interrupted(tmp_path / "a")
    assert archived(tmp_path / "a") == before
    for directory in (tmp_path / "first", tmp_path / "a"):
        await exporter.run(directory)
        assert archived(directory) == await exporter.log()
        files = {str(file.relative_to(directory)) for file in directory.rglob("*.parquet")}
        assert files == {file.path for file in open_archive(directory).manifest.files}


async def test_alien_bytes_are_kept_and_counted(
    exporter: Exporter, stack: Servers, tmp_path: Path
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stack.bootstrap_servers)
    await producer.start()
    (event, *_) = days_of_traffic(1)
    for value in (b"alien", None, encode(event)):
        await producer.send_and_wait(exporter.topics.events, value, key=b"k", partition=1)
    await producer.stop()
    done = await exporter.run(tmp_path / "a")
    assert done.skipped == {"undecodable": 2, "wrong_key": 1}
    assert archived(tmp_path / "a")[1] == [
        (b"k", b"alien"),
        (b"k", None),
        (b"k", encode(event)),
    ]
