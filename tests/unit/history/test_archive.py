"""An archive gives back what was put in, and nothing else; what is damaged is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from routefold.errors import Failure, Misuse
from routefold.history import manifest as manifests
from routefold.history.archive import Archive, open_archive
from routefold.history.columns import JOINED, OUTCOMES, TURNS, schema_of
from routefold.history.errors import ArchiveDamaged, NoArchive
from routefold.history.workspace import open_workspace
from tests.archives import TOPIC, add_to_archive
from tests.factories import T0, Record, config, configured, outcome, records, traffic, turn, uuid7

DAY_MS = 24 * 3600 * 1000
RNG = random.Random(5)


def log(count: int = 60, seed: int = 1) -> list[Record]:
    """Two days of traffic, a configuration before it and a bad record behind it."""
    events = traffic(count, random.Random(seed), start_ms=T0, step_ms=2 * DAY_MS // count)
    whole = records([configured(config()), *events])
    return [*whole, Record(len(whole), whole[-1].timestamp, None, b"alien")]


def contents(archive: Archive, partition: int, **options: int) -> list[Record]:
    """The records of a partition, as the archive has them."""
    return [
        Record(int(offset), int(time), key, value)
        for batch in archive.batches(partition, **options)
        for offset, time, key, value in zip(
            batch.offset, batch.log_time_ms, batch.keys, batch.values, strict=True
        )
    ]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def test_the_records_come_back_as_they_were(directory: Path) -> None:
    logs = {0: log(), 1: log(20, seed=2), 2: []}
    add_to_archive(directory, logs)
    archive = open_archive(directory)
    assert archive.topic == TOPIC
    assert archive.ranges == {0: (0, 122), 1: (0, 42), 2: (0, 0)}
    assert archive.records == 164
    for partition, its_log in logs.items():
        assert contents(archive, partition) == its_log
    assert {int(p) for b in archive.batches(1) for p in b.partition} == {1}


def test_reading_begins_anywhere_and_in_any_pieces(directory: Path) -> None:
    its_log = log()
    add_to_archive(directory, {0: its_log[:50]})
    add_to_archive(directory, {0: its_log[50:]})
    archive = open_archive(directory)
    for start in (0, 1, 49, 50, 51, 121, 122):
        assert contents(archive, 0, from_offset=start, records=7) == its_log[start:]
    assert {len(batch) for batch in archive.batches(0, records=7)} <= {1, 2, 3, 4, 5, 6, 7}


def test_reading_ends_anywhere(directory: Path) -> None:
    its_log = log()
    add_to_archive(directory, {0: its_log[:50]})
    add_to_archive(directory, {0: its_log[50:]})
    archive = open_archive(directory)
    for start, end in ((0, 0), (0, 1), (3, 50), (49, 51), (50, 51), (60, 122)):
        assert contents(archive, 0, from_offset=start, to_offset=end) == its_log[start:end]
    with pytest.raises(Misuse, match="not those from 3 to 123"):
        contents(archive, 0, from_offset=3, to_offset=123)


def test_the_offset_at_a_time_is_that_of_the_first_record_appended_then(directory: Path) -> None:
    its_log = log()
    add_to_archive(directory, {0: its_log[:50]})
    add_to_archive(directory, {0: its_log[50:]})
    archive = open_archive(directory)
    for record in (its_log[0], its_log[49], its_log[50], its_log[90]):
        first = next(r.offset for r in its_log if r.timestamp >= record.timestamp)
        assert archive.offset_at(0, record.timestamp) == first
        before = next(r.offset for r in its_log if r.timestamp >= record.timestamp - 1)
        assert archive.offset_at(0, record.timestamp - 1) == before
    assert archive.offset_at(0, its_log[-1].timestamp + 1) is None


@pytest.mark.parametrize(("partition", "offset"), [(1, 0), (0, 123)])
def test_what_the_archive_does_not_hold(directory: Path, partition: int, offset: int) -> None:
    add_to_archive(directory, {0: log()})
    with pytest.raises(Misuse, match=str(directory)):
        list(open_archive(directory).batches(partition, offset))


def test_offsets_that_the_log_skips_are_no_gap(directory: Path) -> None:
    its_log = log()
    add_to_archive(directory, {0: its_log[:10]})
    add_to_archive(directory, {0: its_log[30:40]})
    archive = open_archive(directory)
    assert archive.ranges[0] == (0, 40)
    assert contents(archive, 0, from_offset=20) == its_log[30:40]


def test_tables_are_by_day_of_the_turn(directory: Path) -> None:
    add_to_archive(directory, {0: log()})
    archive = open_archive(directory)
    for table, columns in (("turns", TURNS), ("outcomes", OUTCOMES), ("joined", JOINED)):
        found = archive.scan(table).collect()
        assert found.drop("day").schema == schema_of(columns)
        assert len(found) == 60
        time = "turn_at" if table == "outcomes" else "occurred_at"
        assert found.select((pl.col(time).dt.date() == pl.col("day")).all()).item()
        assert found["day"].n_unique() == 3  # two days, from the middle of one
        globbed = pl.scan_parquet(directory / table / "**/*.parquet", hive_partitioning=True)
        assert globbed.select(pl.len()).collect().item() == 60
    assert archive.manifest.skipped == {"undecodable": 1}


def test_an_outcome_that_comes_later_is_joined_to_its_turn(directory: Path) -> None:
    first, second = uuid7(T0, RNG), uuid7(T0 + DAY_MS, RNG)
    its_log = records(
        [
            turn(first),
            turn(second),
            outcome(second, uuid7(T0, RNG), status="ok"),
            outcome(first, uuid7(T0, RNG), status="error", occurred_at=T0 + 3 * DAY_MS),
        ]
    )
    add_to_archive(directory, {0: its_log[:3]})
    untouched = {file.path for file in open_archive(directory).manifest.joined[1:]}
    add_to_archive(directory, {0: its_log[3:]})
    archive = open_archive(directory)
    joined = archive.scan("joined").sort("offset").collect()
    assert joined["status"].to_list() == ["error", "ok"]
    assert untouched < {file.path for file in archive.manifest.joined}
    globbed = pl.read_parquet(directory / "joined/**/*.parquet", hive_partitioning=True)
    assert len(globbed) == 2


def test_an_archive_without_events_has_empty_tables(directory: Path) -> None:
    add_to_archive(directory, {0: []})
    archive = open_archive(directory)
    assert archive.scan("joined").collect().is_empty()
    assert contents(archive, 0) == []


def test_files_of_an_older_version_lack_a_column(directory: Path) -> None:
    add_to_archive(directory, {0: log()[:50]})
    add_to_archive(directory, {0: log()[50:]})
    archive = open_archive(directory)
    old = directory / archive.manifest.turns[0].path
    pl.read_parquet(old).drop("mode").write_parquet(old)
    found = archive.scan("turns").collect()
    assert found["mode"].null_count() == archive.manifest.turns[0].rows


def test_one_routers_archive_is_no_log(directory: Path) -> None:
    add_to_archive(directory, {0: log()}, router="r")
    archive = open_archive(directory)
    assert len(archive.scan("turns").collect()) == 60
    assert not (directory / "events").exists()
    with pytest.raises(Misuse, match="without --router"):
        list(archive.batches(0))


def test_there_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(NoArchive, match="no directory"):
        open_archive(tmp_path / "nowhere")
    with pytest.raises(NoArchive, match="is not an archive"):
        open_archive(tmp_path)


def test_a_first_export_that_was_interrupted(directory: Path) -> None:
    add_to_archive(directory, {0: log()})
    (directory / "manifest.json").unlink()
    with pytest.raises(NoArchive, match="interrupted"):
        open_archive(directory)
    add_to_archive(directory, {0: log()[:10]})  # the same again heals it
    assert contents(open_archive(directory), 0) == log()[:10]
    assert len(pl.read_parquet(directory / "turns/**/*.parquet")) == 5


def test_a_later_export_that_was_interrupted_changes_nothing(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its_log = log()
    add_to_archive(directory, {0: its_log[:50]})

    def no_space_left(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(manifests, "write", no_space_left)
        with pytest.raises(Failure, match="No space left"):
            add_to_archive(directory, {0: its_log[50:]})
    archive = open_archive(directory)
    assert contents(archive, 0) == its_log[:50]
    assert len(archive.scan("joined").collect()) == 25
    add_to_archive(directory, {0: its_log[50:]})
    assert contents(open_archive(directory), 0) == its_log
    globbed = pl.read_parquet(directory / "joined/**/*.parquet")
    assert len(globbed) == globbed["turn_id"].n_unique() == 60


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), "missing"),
        (lambda file: file.write_bytes(file.read_bytes()[:-100]), "bytes"),
        (lambda file: file.write_bytes(b"\0" * file.stat().st_size), "checksum"),
    ],
    ids=["missing", "cut short", "overwritten"],
)
def test_a_damaged_file(directory: Path, damage: Callable[[Path], None], said: str) -> None:
    add_to_archive(directory, {0: log()})
    (file,) = (directory / "events").rglob("*.parquet")
    damage(file)
    with pytest.raises(ArchiveDamaged, match=said):
        list(open_archive(directory).batches(0))


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"format":', '"form":'),
        lambda text: text.replace('"start": 0', '"start": 3'),
        lambda text: text.replace("archive 1", "archive 9"),
    ],
    ids=["cut short", "other fields", "a gap", "another version"],
)
def test_a_damaged_manifest(directory: Path, edit: Callable[[str], str]) -> None:
    add_to_archive(directory, {0: log()})
    manifest = directory / "manifest.json"
    manifest.write_text(edit(manifest.read_text()))
    with pytest.raises(ArchiveDamaged, match=r"manifest\.json"):
        open_archive(directory)


def test_a_directory_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(Misuse, match="something else"):
        add_to_archive(tmp_path, {0: log()})
    assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


def test_two_exports_at_once(directory: Path) -> None:
    with open_workspace(directory), pytest.raises(Failure, match="another export"):
        add_to_archive(directory, {0: log()})
