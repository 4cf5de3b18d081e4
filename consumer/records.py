"""A batch of log records as parallel columns, and what is recorded of a bad one."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.codec import PREFIX_BYTES, current
from schemas.events import RouterConfigured

_CONFIG_PREFIX = current(RouterConfigured).prefix


class LogRecord(Protocol):
    """What the fold reads of a Kafka record. `timestamp` is the broker's append time."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class DeadLetter(NamedTuple):
    """A record that can never be folded: `row` is its place in the batch."""

    row: int
    reason: str  # one of the REASON_* words, for counting
    detail: str  # what was wrong, with the value


@dataclass(frozen=True)
class Batch:
    """Records of one or more partitions; each partition's are consecutive and in offset order."""

    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    log_time_ms: NDArray[np.int64]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]

    def __len__(self) -> int:
        return len(self.values)

    @staticmethod
    def of(records: Mapping[int, Sequence[LogRecord]]) -> Batch:
        """A batch of the records by partition."""
        flat = list(chain.from_iterable(records.values()))
        lengths = [len(its_records) for its_records in records.values()]
        return Batch(
            np.repeat(np.array(list(records), dtype=np.int32), lengths),
            np.fromiter((r.offset for r in flat), np.int64, len(flat)),
            np.fromiter((r.timestamp for r in flat), np.int64, len(flat)),
            [r.key for r in flat],
            [r.value for r in flat],
        )

    @staticmethod
    def joined(parts: Sequence[Batch]) -> Batch:
        """Batches one behind the other."""
        if len(parts) == 1:
            return parts[0]
        return Batch(
            np.concatenate([part.partition for part in parts]),
            np.concatenate([part.offset for part in parts]),
            np.concatenate([part.log_time_ms for part in parts]),
            list(chain.from_iterable(part.keys for part in parts)),
            list(chain.from_iterable(part.values for part in parts)),
        )

    def __getitem__(self, rows: slice) -> Batch:
        """Some consecutive records."""
        return Batch(
            self.partition[rows],
            self.offset[rows],
            self.log_time_ms[rows],
            self.keys[rows],
            self.values[rows],
        )

    def take(self, rows: Sequence[int]) -> Batch:
        """The records at these rows, which ascend."""
        return Batch(
            self.partition[rows],
            self.offset[rows],
            self.log_time_ms[rows],
            [self.keys[row] for row in rows],
            [self.values[row] for row in rows],
        )

    def rows_by_partition(self) -> dict[int, slice]:
        """Where each partition's records are."""
        starts = np.flatnonzero(np.diff(self.partition, prepend=-1)).tolist()
        names: list[int] = self.partition[starts].tolist()
        bounds = zip(starts, [*starts[1:], len(self)], strict=False)
        return {name: slice(*rows) for name, rows in zip(names, bounds, strict=True)}

    @cached_property
    def rows_by_prefix(self) -> Mapping[bytes, Sequence[int]]:
        """The rows of each schema, by how its messages begin."""
        rows_of: defaultdict[bytes, list[int]] = defaultdict(list)
        for row, value in enumerate(self.values):
            rows_of[value[:PREFIX_BYTES] if value else b""].append(row)
        return rows_of

    def configurations(self) -> Sequence[int]:
        """The rows that say they configure a router."""
        return self.rows_by_prefix.get(_CONFIG_PREFIX, [])


class Block(NamedTuple):
    """Events of one kind as a frame, and their rows in the batch."""

    rows: NDArray[np.int64]
    frame: pl.DataFrame

    def within(self, rows: range) -> Block:
        """Those in some consecutive rows of the batch, as rows of these alone."""
        first, last = np.searchsorted(self.rows, [rows.start, rows.stop]).tolist()
        return Block(self.rows[first:last] - rows.start, self.frame[first:last])


@dataclass(frozen=True)
class DecodedBatch(Batch):
    """A batch of which turns and outcomes are decoded already, as an archive has them.

    `rest` are the rows of everything else: configurations, and what will be dead letters.
    """

    turns: Block
    outcomes: Block
    rest: Sequence[int]

    def __getitem__(self, rows: slice) -> DecodedBatch:
        taken, plain = range(len(self))[rows], super().__getitem__(rows)
        return DecodedBatch(
            plain.partition,
            plain.offset,
            plain.log_time_ms,
            plain.keys,
            plain.values,
            self.turns.within(taken),
            self.outcomes.within(taken),
            [row - taken.start for row in self.rest if row in taken],
        )

    def configurations(self) -> Sequence[int]:
        return [self.rest[at] for at in self.take(self.rest).configurations()]


def split(batch: Batch, max_events: int) -> Iterator[Batch]:
    """Cut into batches of at most so many records in which configurations come first.

    So every event is folded with the configuration that stands before it in its partition.
    """
    configurations = batch.configurations()
    if not configurations and 0 < len(batch) <= max_events:
        yield batch
        return
    left = {p: (rows.start, rows.stop) for p, rows in batch.rows_by_partition().items()}
    while left:
        pieces: list[Batch] = []
        room = max_events
        for partition, (start, stop) in list(left.items()):
            cut = min(_next_configuration(configurations, start, stop), start + room)
            if cut > start:
                pieces.append(batch[start:cut])
                room -= cut - start
            if cut == stop:
                del left[partition]
            else:
                left[partition] = cut, stop
        yield Batch.joined(pieces)


def _next_configuration(configurations: Sequence[int], start: int, stop: int) -> int:
    """The first configuration that stands behind an event; `stop` if there is none."""
    place = bisect_left(configurations, start)
    while place < len(configurations) and configurations[place] == start:
        place, start = place + 1, start + 1
    return min(configurations[place], stop) if place < len(configurations) else stop
