"""A rebuild that begins with an archive: what the log has and what it has lost, as one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from consumer.rebuild import side
from consumer.rebuild.bounds import Bound
from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.rebuild import Outcome, Pace, Servers
from consumer.rebuild.verify import verify
from routefold.history.export import export
from routefold.rebuilds.archived import ArchivedEvents, open_events
from schemas.topics import Topics
from tests.archives import TOPIC, add_to_archive
from tests.factories import T0, records, traffic
from tests.fixtures.rebuilding import (
    ARMS,
    busy_log,
    everything_live,
    fold_live,
    live_digest,
    run,
)
from tests.fixtures.servers import Servers as Stack

pytestmark = pytest.mark.integration


class Told:
    """An export's progress."""

    def reading(self, done: int, total: int) -> None: ...

    def joining(self, done: int, total: int) -> None: ...


async def exported(stack: Stack, topics: Topics, directory: Path) -> ArchivedEvents:
    await export(stack.bootstrap_servers, topics, directory, progress=Told())
    return open_events(directory)


async def delete(stack: Stack, topic: str, before: Mapping[int, int]) -> None:
    """What the broker's retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap_servers)
    await admin.start()
    gone = {TopicPartition(topic, p): RecordsToDelete(before_offset=at) for p, at in before.items()}
    await admin.delete_records(gone)
    await admin.close()


@pytest.fixture
async def installed(stack: Stack, topics: Topics, database: str) -> Servers:
    await fold_live(stack, topics, database, busy_log(500))
    return Servers(stack.bootstrap_servers, topics.events, database)


async def more(stack: Stack, topics: Topics, database: str) -> None:
    """Events that come after an export."""
    later = traffic(200, random.Random(9), start_ms=T0 + 10**8, arms=ARMS)
    await fold_live(stack, topics, database, later)


@pytest.mark.parametrize(("workers", "batch"), [(1, 16_384), (2, 61)])
async def test_an_archive_and_the_rest_of_the_log_give_the_live_digest(
    installed: Servers,
    stack: Stack,
    topics: Topics,
    database: str,
    tmp_path: Path,
    workers: int,
    batch: int,
) -> None:
    archive = await exported(stack, topics, tmp_path / "archive")
    await more(stack, topics, database)
    before = everything_live(database)
    await delete(stack, topics.events, {p: at.end - 1 for p, at in archive.ranges.items()})
    pace = Pace(workers=workers, batch_events=batch, checkpoint_events=300)
    with pytest.raises(RebuildRefused, match=r"begins at offset .*--archive"):
        await run(installed, "without", pace=pace)
    outcome = await run(replace(installed, archive=archive), "with", pace=pace)
    assert outcome.digest == live_digest(installed)
    with pytest.raises(RebuildRefused, match=r"begins at offset .*--archive"):
        await verify(installed, None, pace, lambda _: None)
    verdict = await verify(replace(installed, archive=archive), None, pace, lambda _: None)
    assert verdict.equal
    assert everything_live(database) == before


async def test_a_rebuild_goes_on_with_an_archive_or_without(
    installed: Servers, stack: Stack, topics: Topics, database: str, tmp_path: Path
) -> None:
    archive = await exported(stack, topics, tmp_path / "archive")
    first = await run(replace(installed, archive=archive), "kept")
    await more(stack, topics, database)
    second = await run(installed, "kept")
    assert first.digest != second.digest == live_digest(installed)
    again = await exported(stack, topics, tmp_path / "archive")
    third = await run(replace(installed, archive=again), "kept")
    assert (third.events, third.digest) == (0, second.digest)


async def test_a_part_of_it_is_what_the_log_has_of_that_part(
    installed: Servers, stack: Stack, topics: Topics, database: str, tmp_path: Path
) -> None:
    archive = await exported(stack, topics, tmp_path / "archive")
    await more(stack, topics, database)
    held = archive.ranges[0]
    whole = next(archive.batches(0, held, held.end))
    middle = Bound(time_ms=int(whole.log_time_ms[len(whole) // 2]))
    parts = [
        {"start": Bound.parse("40"), "until": Bound.parse("90")},
        {"start": middle},
        {"until": middle},
    ]
    for number, part in enumerate(parts):
        found: list[Outcome] = [
            await run(replace(installed, archive=source), f"{name}{number}", **part)
            for name, source in (("log", None), ("archive", archive))
        ]
        assert found[0].digest == found[1].digest
        assert found[0].events == found[1].events > 0


async def test_an_archive_that_the_log_does_not_continue_is_refused(
    installed: Servers, stack: Stack, topics: Topics, database: str, tmp_path: Path
) -> None:
    archive = await exported(stack, topics, tmp_path / "archive")
    await more(stack, topics, database)
    before = everything_live(database)
    ends = {partition: held.end for partition, held in archive.ranges.items()}
    await delete(stack, topics.events, {p: end + 2 for p, end in ends.items()})
    with pytest.raises(RebuildRefused, match="what was between is in neither"):
        await run(replace(installed, archive=archive), "x")
    assert side.names(database) == []
    assert everything_live(database) == before


async def test_an_archive_of_another_log_is_refused(
    installed: Servers, topics: Topics, tmp_path: Path
) -> None:
    """One of the same name, as when a topic was deleted and made again."""
    partitions = range(topics.event_partitions)
    add_to_archive(tmp_path, {p: records(traffic(3, random.Random(p))) for p in partitions})
    manifest = tmp_path / "manifest.json"
    with pytest.raises(RebuildRefused, match=f"archive of {TOPIC}, not of"):
        await run(replace(installed, archive=open_events(tmp_path)), "x")
    manifest.write_text(manifest.read_text().replace(TOPIC, topics.events))
    with pytest.raises(RebuildRefused, match=r"is another record than in .*: it is an archive of"):
        await run(replace(installed, archive=open_events(tmp_path)), "x")
    longer = records(traffic(1500, random.Random(7)), 6)
    manifest.write_text(manifest.read_text().replace(topics.events, TOPIC))
    add_to_archive(tmp_path, {0: longer} | {p: [] for p in partitions if p})
    manifest.write_text(manifest.read_text().replace(TOPIC, topics.events))
    with pytest.raises(RebuildRefused, match="or the log has lost records"):
        await run(replace(installed, archive=open_events(tmp_path)), "x")
    assert side.names(installed.postgres_dsn) == []


async def test_a_damaged_archive_ends_the_rebuild_and_says_so(
    installed: Servers, stack: Stack, topics: Topics, database: str, tmp_path: Path
) -> None:
    archive = await exported(stack, topics, tmp_path / "archive")
    damaged = next((tmp_path / "archive" / "events" / "partition=1").glob("*.parquet"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    before = everything_live(database)
    with pytest.raises(RebuildRefused, match="checksum is not the one in the manifest"):
        await run(replace(installed, archive=archive), "x")
    damaged.unlink()
    with pytest.raises(RebuildRefused, match="it is missing"):
        open_events(tmp_path / "archive")
    (tmp_path / "archive" / "manifest.json").unlink()
    with pytest.raises(RebuildRefused, match="interrupted"):
        open_events(tmp_path / "archive")
    with pytest.raises(RebuildRefused, match="there is no directory"):
        open_events(tmp_path / "nowhere")
    assert everything_live(database) == before


async def test_an_archive_of_one_router_is_no_log(
    installed: Servers, stack: Stack, topics: Topics, tmp_path: Path
) -> None:
    directory = tmp_path / "archive"
    await export(stack.bootstrap_servers, topics, directory, router="r", progress=Told())
    with pytest.raises(RebuildRefused, match="tables of router 'r' only"):
        open_events(directory)
