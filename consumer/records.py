"""A batch of log records as parallel columns, and what is recorded of a bad one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
    def of(cls, records: Mapping[int, Iterable[LogRecord]]) -> Batch:
        """A batch of the records by partition."""
        flat = [(partition, record) for partition, rs in records.items() for record in rs]
        return cls(
            np.fromiter((p for p, _ in flat), np.int32, len(flat)),
            np.fromiter((r.offset for _, r in flat), np.int64, len(flat)),
            np.fromiter((r.timestamp for _, r in flat), np.int64, len(flat)),
            [r.key for _, r in flat],
            [r.value for _, r in flat],
        )
