"""Reading an archive that `routefold export` wrote. See routefold.history.manifest for its layout.

archive = open_archive(Path("archive"))
for partition, (start, end) in archive.ranges.items():
    for batch in archive.batches(partition):
        ...                                   # consumer.records.Batch, in offset order
archive.scan("joined").group_by("arm_served").len().collect()
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Self, overload

import numpy as np
import polars as pl

from consumer.decoded import DECODED, decoded_batch
from consumer.records import Batch
from routefold.errors import Misuse
from routefold.history import manifest as manifests
from routefold.history.columns import JOINED, OUTCOMES, TURNS, schema_of
from routefold.history.errors import ArchiveDamaged
from routefold.history.manifest import EventFile, Manifest, TableFile
from routefold.history.position import OffsetRange

_COLUMNS: Final = {"turns": TURNS, "outcomes": OUTCOMES, "joined": JOINED}
BATCH_RECORDS: Final = 16_384
_WITHOUT_BYTES: Final = ("offset", "log_time_ms", *DECODED)


class Archive:
    """A finished archive. Made by `open_archive`.

    An export into it meanwhile changes nothing here, but that it may remove files of `joined` which
    it has made anew.
    """

    def __init__(self, directory: Path, manifest: Manifest) -> None:
        self.directory: Final = directory
        self.manifest: Final = manifest

    @property
    def topic(self) -> str:
        """The events topic that was archived."""
        return self.manifest.topic

    @property
    def ranges(self) -> Mapping[int, OffsetRange]:
        """What of the log is in it, by partition; the log goes on at `end`."""
        return self.manifest.ranges

    @property
    def records(self) -> int:
        """How many records `batches` gives, over all partitions."""
        return sum(file.rows for file in self.manifest.events)

    def batches(
        self,
        partition: int,
        from_offset: int | None = None,
        to_offset: int | None = None,
        *,
        records: int = BATCH_RECORDS,
    ) -> Iterator[Batch]:
        """The records of a partition from one offset to another (excluded; None: all), in order,
        up to `records` at a time: the bytes that Kafka had, with their offsets and append times.

        One file is in memory at a time, some 60 MB. Each file's checksum is compared before its
        first record is given. Raises Misuse for what the archive does not hold, ArchiveDamaged.
        """
        self.require_whole_log()
        if partition not in self.ranges:
            raise Misuse(f"{self.directory} holds no partition {partition} of {self.topic}")
        whole = self.ranges[partition]
        start = whole.start if from_offset is None else from_offset
        end = whole.end if to_offset is None else to_offset
        if not whole.start <= start <= whole.end or end > whole.end:
            raise Misuse(
                f"{self.directory} holds offsets {whole.start} to {whole.end} of partition "
                f"{partition}, not those from {start} to {end}"
            )
        for file in self.manifest.events_of(partition):
            if file.end > start and file.start < end:
                yield from self._batches(file, start, end, records)

    def scan(self, table: str) -> pl.LazyFrame:
        """`turns`, `outcomes` or `joined` with the column `day`: exactly the files of the manifest,
        those of earlier versions with null in the columns that they lack."""
        return scan_files(
            table, [self.directory / file.path for file in self.manifest.table(table)]
        )

    def last_record(self, partition: int) -> tuple[int, bytes | None, bytes | None] | None:
        """Offset, key and value of the last record of a partition; None where it has none."""
        files = self.manifest.events_of(partition)
        if not files:
            return None
        last = _frame(self._content(files[-1]), ["offset", "key", "value"]).row(-1)
        return last[0], last[1], last[2]

    def offset_at(self, partition: int, time_ms: int) -> int | None:
        """The first offset of a partition that the broker appended at that time (milliseconds
        since 1970) or later; None where all are older."""
        for file in self.manifest.events_of(partition):
            times = _frame(self._content(file), ["offset", "log_time_ms"])
            found = times.filter(pl.col("log_time_ms") >= time_ms)["offset"].min()
            if isinstance(found, int):
                return found
        return None

    def require_whole_log(self) -> None:
        """Raise Misuse where only one router's tables were exported, and not the log."""
        if self.manifest.router is not None:
            raise Misuse(
                f"{self.directory} holds the tables of router {self.manifest.router!r} only, not "
                "the log: export without --router into another directory"
            )

    def _batches(self, file: EventFile, start: int, end: int, records: int) -> Iterator[Batch]:
        content = self._content(file)
        frame = _frame(content, _WITHOUT_BYTES)
        first, last = np.searchsorted(frame["offset"].to_numpy(), [start, end]).tolist()
        source = _Bytes(content)
        for at in range(first, last, records):
            piece = frame[at : min(at + records, last)]
            batch = Batch(
                np.full(len(piece), file.partition, dtype=np.int32),
                piece["offset"].to_numpy(),
                piece["log_time_ms"].to_numpy(),
                _Column(source, "key", range(at, at + len(piece))),
                _Column(source, "value", range(at, at + len(piece))),
            )
            yield decoded_batch(batch, piece)

    def _content(self, file: EventFile) -> bytes:
        """The file's bytes, which are those that were written."""
        path = self.directory / file.path
        content = _bytes_of(path)
        if hashlib.sha256(content).hexdigest() != file.sha256:
            raise ArchiveDamaged(_damaged(path, "its checksum is not the one in the manifest"))
        return content


class _Bytes:
    """Keys and values of one file, read when somebody asks for them: a fold hardly does."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._columns: dict[str, list[bytes | None]] = {}

    def column(self, name: str) -> list[bytes | None]:
        if name not in self._columns:
            self._columns[name] = _frame(self._content, [name])[name].to_list()
        return self._columns[name]


class _Column(Sequence[bytes | None]):
    """Some consecutive keys or values."""

    def __init__(self, source: _Bytes, name: str, rows: range) -> None:
        self._source = source
        self._name = name
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[bytes | None]:
        column = self._source.column(self._name)
        return iter(column[self._rows.start : self._rows.stop : self._rows.step])

    @overload
    def __getitem__(self, place: int) -> bytes | None: ...

    @overload
    def __getitem__(self, place: slice) -> Self: ...

    def __getitem__(self, place: int | slice) -> bytes | Self | None:
        if isinstance(place, slice):
            return type(self)(self._source, self._name, self._rows[place])
        return self._source.column(self._name)[self._rows[place]]


def _frame(content: bytes, columns: Sequence[str]) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(content), columns=list(columns), hive_partitioning=False)


def open_archive(directory: Path) -> Archive:
    """The archive in a directory, after a look at every file's size.

    Raises NoArchive where there is none, or where its first export did not come to its end, and
    ArchiveDamaged where a file is missing or was cut short.
    """
    archive = Archive(directory, manifests.read(directory))
    for file in archive.manifest.files:
        _check_size(directory, file)
    return archive


def scan_files(table: str, files: Sequence[Path]) -> pl.LazyFrame:
    """Files of one table with the column `day`; null for columns that a file's version lacked."""
    schema = schema_of(_COLUMNS[table])
    if not files:
        return pl.LazyFrame(schema={**schema, "day": pl.Date})
    return pl.scan_parquet(
        list(files),
        schema=schema,
        hive_schema={"day": pl.Date},
        hive_partitioning=True,
        missing_columns="insert",
    )


def _check_size(directory: Path, file: TableFile) -> None:
    path = directory / file.path
    try:
        size_bytes = path.stat().st_size
    except FileNotFoundError:
        raise ArchiveDamaged(_damaged(path, "it is missing")) from None
    if size_bytes != file.size_bytes:
        raise ArchiveDamaged(
            _damaged(path, f"it has {size_bytes:,} bytes, should have {file.size_bytes:,}")
        )


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArchiveDamaged(_damaged(path, str(error.strerror))) from None


def _damaged(path: Path, what: str) -> str:
    return f"{path} is damaged: {what}. Restore it from a backup, or export anew elsewhere"
