"""A batch of log records as parallel columns, and what is recorded of a bad one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


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


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one or more partitions; each partition's are consecutive and in offset order."""

    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    log_time_ms: NDArray[np.int64]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, records: Mapping[int, Sequence[LogRecord]]) -> Batch:
        """A batch of the records by partition."""
        flat = list(chain.from_iterable(records.values()))
        lengths = [len(its_records) for its_records in records.values()]
        return cls(
            np.repeat(np.array(list(records), dtype=np.int32), lengths),
            np.fromiter((r.offset for r in flat), np.int64, len(flat)),
            np.fromiter((r.timestamp for r in flat), np.int64, len(flat)),
            [r.key for r in flat],
            [r.value for r in flat],
        )
