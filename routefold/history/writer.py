"""Writes new files of an archive into a staging directory; nothing there is part of it yet.

Rows are held until a file is full or the limit of all that is held is reached, so that memory does
not grow with the log. Calls block, and belong to one thread at a time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from consumer.decoded import decoded_events
from consumer.records import Batch
from routefold.history.manifest import EVENTS, EventFile, TableFile
from routefold.history.tables import tables_of

FILE_ROWS: Final = 200_000
# Some 200 MB, over all files that are open at the same time.
HELD_ROWS: Final = 500_000
# Level 3 makes tables 2 % smaller and takes half as long again.
_TABLE: Final = {"compression": "zstd", "compression_level": 1}
# What a rebuild reads: half the time of zstd's, and a third more space.
_EVENTS: Final = {"compression": "lz4"}
_READ_BYTES: Final = 1 << 20


@dataclass(slots=True)
class _Held:
    """Rows of a file to be."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    rows: int = 0


class StagedFiles:
    """New files below `staging`, with the paths that they will have in the archive."""

    def __init__(self, staging: Path, run: int) -> None:
        self._staging = staging
        self._run = run
        self._number = 0

    def write_events(self, partition: int, start: int, frame: pl.DataFrame) -> EventFile:
        """The records of a partition, which begin at or after offset `start`."""
        path = f"{EVENTS}/partition={partition}/{start:020}.parquet"
        end = int(frame["offset"][-1]) + 1
        return EventFile(
            **self._write(path, frame, _EVENTS), partition=partition, start=start, end=end
        )

    def write_table(self, table: str, day: str, frame: pl.DataFrame) -> TableFile:
        """Rows of one day, as `day=2026-01-03`."""
        self._number += 1
        path = f"{table}/{day}/{self._run:06}-{self._number:04}.parquet"
        return TableFile(**self._write(path, frame, _TABLE))

    def _write(
        self, path: str, frame: pl.DataFrame, compressed: Mapping[str, Any]
    ) -> dict[str, Any]:
        file = self._staging / path
        file.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(file, **compressed)
        digest = hashlib.sha256()
        with file.open("rb") as written:
            while chunk := written.read(_READ_BYTES):
                digest.update(chunk)
        return {
            "path": path,
            "rows": len(frame),
            "size_bytes": file.stat().st_size,
            "sha256": digest.hexdigest(),
        }


class LogWriter:
    """Writes batches of the log as event files and as the tables `turns` and `outcomes`.

    `starts` says where each partition goes on. With `router` no event files are written, and only
    that router's rows.
    """

    def __init__(self, files: StagedFiles, starts: Mapping[int, int], router: str | None) -> None:
        self._files = files
        self._router = router
        self._held: dict[tuple[str, str | int], _Held] = {}
        self._held_rows = 0
        self.starts: Final = dict(starts)
        # Where each partition goes on: everything before it is in a file or held.
        self.ends: dict[int, int] = dict(starts)
        self._file_starts = dict(starts)
        self.skipped: Counter[str] = Counter()
        self.events: list[EventFile] = []
        self.tables: dict[str, list[TableFile]] = {"turns": [], "outcomes": []}

    def add(self, batch: Batch) -> None:
        """Take records that follow on those before in their partitions."""
        for partition, frame in _records(batch):
            self.ends[partition] = int(frame["offset"][-1]) + 1
            if self._router is None:
                self._hold(EVENTS, partition, frame)
        tables = tables_of(batch, self._router)
        self.skipped.update(tables.skipped)
        for table, frame, time in (
            ("turns", tables.turns, "occurred_at"),
            ("outcomes", tables.outcomes, "turn_at"),
        ):
            for day, rows in by_day(frame, time):
                self._hold(table, day, rows)
        while self._held_rows > HELD_ROWS:
            self._write(max(self._held, key=lambda key: self._held[key].rows))

    def finish(self) -> None:
        """Write what is held."""
        for key in list(self._held):
            self._write(key)

    def _hold(self, table: str, part: str | int, frame: pl.DataFrame) -> None:
        held = self._held.setdefault((table, part), _Held())
        held.frames.append(frame)
        held.rows += len(frame)
        self._held_rows += len(frame)
        if held.rows >= FILE_ROWS:
            self._write((table, part))

    def _write(self, key: tuple[str, str | int]) -> None:
        held = self._held.pop(key)
        self._held_rows -= held.rows
        table, part = key
        frame = pl.concat(held.frames)
        if isinstance(part, int):
            written = self._files.write_events(part, self._file_starts[part], frame)
            self._file_starts[part] = written.end
            self.events.append(written)
        else:
            rows = frame.sort("partition", "offset")
            self.tables[table].append(self._files.write_table(table, part, rows))


def by_day(frame: pl.DataFrame, time: str) -> Iterable[tuple[str, pl.DataFrame]]:
    """The rows of each UTC day of a time column."""
    days = frame.with_columns(pl.col(time).dt.strftime("day=%Y-%m-%d").alias("day"))
    for (day,), rows in days.partition_by("day", as_dict=True, include_key=False).items():
        yield str(day), rows


def _records(batch: Batch) -> Iterable[tuple[int, pl.DataFrame]]:
    """The records of each partition, as they are and as they decode, without the partition."""
    frame = pl.DataFrame(
        {
            "partition": pl.Series(batch.partition, dtype=pl.Int32),
            "offset": pl.Series(batch.offset, dtype=pl.Int64),
            "log_time_ms": pl.Series(batch.log_time_ms, dtype=pl.Int64),
            "key": pl.Series(batch.keys, dtype=pl.Binary),
            "value": pl.Series(batch.values, dtype=pl.Binary),
        }
    ).hstack(decoded_events(batch))
    for (partition,), rows in frame.partition_by(
        "partition", as_dict=True, include_key=False
    ).items():
        yield int(partition), rows
