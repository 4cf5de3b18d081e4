"""What an archive holds, and where. The layout of its directory:

    manifest.json                                   this list; written last, in one step
    events/partition=0/00000000000000001200.parquet records from offset 1200 on, as Kafka had them
    turns/day=2026-01-03/000002-0001.parquet        written by the second export
    outcomes/day=2026-01-03/...                     the day is always that of the turn (UTC), so
    joined/day=2026-01-03/...                       all that is known about a turn is in one day

Columns: routefold.history.columns (RECORDS, TURNS, OUTCOMES, JOINED); `partition` of events and
`day` of the tables are in the path only, as Hive has it. An archive is what its manifest says:
other files are leftovers of an export that was interrupted, and the next one removes them.

An event file holds every record of its range [start, end), and the files of a partition follow each
other without a gap. So folding them in order, and the log from `end` on, is folding the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from routefold.history.errors import ArchiveDamaged, NoArchive
from routefold.history.position import OffsetRange

FILE_NAME: Final = "manifest.json"
LOCK_NAME: Final = ".lock"
EVENTS: Final = "events"
TABLES: Final = ("turns", "outcomes", "joined")

Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableFile(_Strict):
    """One Parquet file, `path` relative to the archive."""

    path: str
    rows: Count
    size_bytes: Count
    sha256: Digest

    @property
    def day(self) -> str:
        """The part of the path that names it: "day=2026-01-03"."""
        return self.path.split("/")[1]


class EventFile(TableFile):
    """The records of one partition from `start` to `end` (excluded)."""

    partition: Count
    start: Count
    end: Count


class Manifest(_Strict):
    """The content of an archive."""

    format: Literal["routefold archive 1"] = "routefold archive 1"
    topic: str
    router: str | None  # where only one router's events were taken; then there are no event files
    runs: Count  # exports that have written to it
    ranges: Mapping[Count, OffsetRange]  # of the log that is in it, by partition
    skipped: Mapping[str, Count]  # records that are in no table, by reason
    events: tuple[EventFile, ...]
    turns: tuple[TableFile, ...]
    outcomes: tuple[TableFile, ...]
    joined: tuple[TableFile, ...]

    @model_validator(mode="after")
    def _without_gaps(self) -> Self:
        for partition, whole in self.ranges.items() if self.router is None else ():
            at = whole.start
            for file in self.events_of(partition):
                if file.start != at or file.end <= file.start:
                    raise ValueError(f"{file.path} should begin at offset {at}")
                at = file.end
            if at != whole.end:
                raise ValueError(
                    f"partition {partition} should end at {whole.end}, its files end at {at}"
                )
        return self

    def events_of(self, partition: int) -> list[EventFile]:
        """The event files of a partition, in order."""
        return sorted(
            (file for file in self.events if file.partition == partition), key=lambda f: f.start
        )

    def table(self, name: str) -> tuple[TableFile, ...]:
        """The files of one table, or of `events`."""
        files: tuple[TableFile, ...] = getattr(self, name)
        return files

    @property
    def files(self) -> Iterable[TableFile]:
        """Every file."""
        return (*self.events, *self.turns, *self.outcomes, *self.joined)


def read(directory: Path) -> Manifest:
    """The manifest of an archive. Raises NoArchive and ArchiveDamaged."""
    path = directory / FILE_NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise NoArchive(_why_none(directory)) from None
    except OSError as error:
        raise NoArchive(f"{path} can't be read: {error.strerror}") from None
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ArchiveDamaged(
            f"{path} is not a manifest that this version can read ({where}: {first['msg']}): "
            "take an archive from a backup, or export anew into another directory"
        ) from None


def write(directory: Path, manifest: Manifest) -> None:
    """Put the manifest in place, in one step and durably."""
    partial = directory / f".{FILE_NAME}"
    partial.write_text(manifest.model_dump_json(indent=1) + "\n")
    sync(partial)
    partial.replace(directory / FILE_NAME)
    sync(directory)


def sync(path: Path) -> None:
    """Have what is written to a file, or renamed in a directory, on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _why_none(directory: Path) -> str:
    if not directory.is_dir():
        return f"there is no directory {directory}"
    if (directory / EVENTS).exists() or (directory / LOCK_NAME).exists():
        return (
            f"{directory} has no {FILE_NAME}: its first export is under way or was interrupted. "
            "Run the same `routefold export` again"
        )
    return f"{directory} is not an archive: it has no {FILE_NAME}, which `routefold export` writes"
