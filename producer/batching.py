"""Events to Kafka messages, and messages to one batch per partition. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from aiokafka.partitioner import murmur2

from producer.errors import EventRefused
from schemas.codec import encode
from schemas.errors import ContractError
from schemas.events import Outcome, RouterConfigured, Turn
from schemas.headers import cloud_event_headers

# A broker refuses batches above its message.max.bytes, 1 MiB by default. Half of it leaves room for
# record framing, and keeps the pause for building and compressing one batch near a millisecond.
MAX_BATCH_BYTES: Final = 512 * 1024
# Record framing (lengths, attributes, timestamp and offset deltas) and a margin per header.
_RECORD_OVERHEAD_BYTES: Final = 32
_HEADER_OVERHEAD_BYTES: Final = 4


class Message(NamedTuple):
    """What Kafka is given; also what the spool keeps, so that a resend has the same bytes."""

    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]

    @property
    def size_bytes(self) -> int:
        """Upper estimate of the uncompressed record."""
        headers = sum(len(n) + len(v) + _HEADER_OVERHEAD_BYTES for n, v in self.headers)
        return len(self.key) + len(self.value) + headers + _RECORD_OVERHEAD_BYTES


def to_message(event: Turn | Outcome | RouterConfigured, traceparent: str | None = None) -> Message:
    """The event as a message.

    Raises ContractError when a field does not fit its schema, EventRefused (a ContractError) when
    the message is larger than any batch may be.
    """
    try:
        message = Message(event.key, encode(event), cloud_event_headers(event, traceparent))
    except ContractError:
        raise
    except (ValueError, TypeError, AttributeError, OverflowError, OSError) as error:
        # Ids, times and texts that the Avro encoder does not look at, but key and headers do.
        raise ContractError(f"{type(event).__name__} can't be published: {error}") from error
    if message.size_bytes > MAX_BATCH_BYTES:
        raise EventRefused(
            f"{type(event).__name__} has {message.size_bytes:,} bytes, "
            f"at most {MAX_BATCH_BYTES:,} can be published"
        )
    return message


# Murmur2 in Python costs 6 µs; the turn and the outcomes of a session share one key.
@lru_cache(maxsize=16_384)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, as the Java client's default partitioner computes it."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages of one partition, by their index in the caller's list."""

    partition: int
    indexes: tuple[int, ...]

    def halves(self) -> tuple[Batch, Batch]:
        """The batch in two, to find the one message that a broker refuses."""
        middle = len(self.indexes) // 2
        first, second = self.indexes[:middle], self.indexes[middle:]
        return Batch(self.partition, first), Batch(self.partition, second)


def plan(
    messages: Sequence[Message], partitions: int, max_bytes: int = MAX_BATCH_BYTES
) -> list[Batch]:
    """Batches that cover every message once, in the caller's order within each partition.

    No batch is above `max_bytes`, but for a single message that is larger by itself.
    """
    batches: list[Batch] = []
    open_batches: dict[int, tuple[list[int], int]] = {}
    for index, message in enumerate(messages):
        partition = partition_of(message.key, partitions)
        indexes, size = open_batches.get(partition, ([], 0))
        if indexes and size + message.size_bytes > max_bytes:
            batches.append(Batch(partition, tuple(indexes)))
            indexes, size = [], 0
        indexes.append(index)
        open_batches[partition] = indexes, size + message.size_bytes
    batches += [
        Batch(partition, tuple(indexes)) for partition, (indexes, _) in open_batches.items()
    ]
    return batches
