"""The archive that a rebuild begins with (`consumer.rebuild.archived.Archive`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from consumer.rebuild.archived import Last
from consumer.rebuild.bounds import Range
from consumer.rebuild.errors import RebuildRefused
from consumer.records import Batch
from routefold.errors import Misuse
from routefold.history.archive import Archive, open_archive
from routefold.history.errors import ArchiveError


@dataclass(frozen=True)
class ArchivedEvents:
    """The event files of an archive that `routefold export` wrote; made by `open_events`."""

    archive: Archive

    @property
    def name(self) -> str:
        return str(self.archive.directory)

    @property
    def topic(self) -> str:
        return self.archive.topic

    @cached_property
    def ranges(self) -> Mapping[int, Range]:
        return {partition: Range(*held) for partition, held in self.archive.ranges.items()}

    def batches(self, partition: int, wanted: Range, records: int) -> Iterator[Batch]:
        with _refusing():
            yield from self.archive.batches(partition, wanted.start, wanted.end, records=records)

    def last(self, partition: int) -> Last | None:
        with _refusing():
            found = self.archive.last_record(partition)
        return None if found is None else Last(*found)

    def offset_at(self, partition: int, time_ms: int) -> int | None:
        with _refusing():
            return self.archive.offset_at(partition, time_ms)


def open_events(directory: Path) -> ArchivedEvents:
    """The events of an archive. Raises RebuildRefused where there is no whole one."""
    with _refusing():
        archive = open_archive(directory)
        archive.require_whole_log()
    return ArchivedEvents(archive)


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (ArchiveError, Misuse) as error:
        raise RebuildRefused(str(error)) from error
