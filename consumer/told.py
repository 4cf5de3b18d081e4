"""What routers were told last: how far, and of which generation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.codec import decode
from schemas.errors import ContractError
from schemas.events import Progress
from schemas.snapshot import Snapshot
from schemas.topics import Topics

# What is said of one moment ends with the progress of partitions, a record each. More than enough
# of them, and no more than a tenth of a second to decode.
TAIL_RECORDS: Final = 256
# Routers refuse a generation above: one corrupt record must not make us pass it.
MAX_GENERATION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """The highest (generation, next offset) that was told of each partition; and where the log of
    each ends now."""

    positions: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    ends: Mapping[int, int] = field(default_factory=dict)

    @property
    def generation(self) -> int:
        """The highest one that routers have heard of; 0 for none."""
        return max((generation for generation, _ in self.positions.values()), default=0)


async def read_told(consumer: AIOKafkaConsumer, topics: Topics) -> Told:
    """What routers were told last. Nothing where the topic is empty or not there.

    `consumer` is started, and has nothing assigned. Raises KafkaError; not bounded in time.
    """
    there = await consumer.topics()
    if not {topics.snapshots, topics.events} <= there:
        return Told()
    tail = TopicPartition(topics.snapshots, 0)
    events = [TopicPartition(topics.events, p) for p in range(topics.event_partitions)]
    consumer.assign([tail, *events])
    consumer.pause(*events)
    ends = await consumer.end_offsets([tail, *events])
    end = ends.pop(tail)
    consumer.seek(tail, max(0, end - TAIL_RECORDS))
    values: list[bytes | None] = []
    while await consumer.position(tail) < end:
        fetched = await consumer.getmany(tail, timeout_ms=500)
        values += [record.value for record in fetched.get(tail, ())]
    return told_by(values, {tp.partition: end for tp, end in ends.items()})


def told_by(values: Iterable[bytes | None], ends: Mapping[int, int]) -> Told:
    """What records of the snapshots topic tell, in any order; `ends` by partition of the log.

    What routers would not take is passed over.
    """
    positions: dict[int, tuple[int, int]] = {}
    for value in values:
        match _event(value):
            case Snapshot(generation=generation, partition=partition, source_offset=offset):
                pass
            case Progress(generation=generation, partition=partition, next_offset=offset):
                pass
            case _:
                continue
        if partition in ends and 0 <= generation < MAX_GENERATION:
            known = positions.get(partition, (0, 0))
            positions[partition] = max(known, (generation, offset))
    return Told(positions, ends)


def _event(value: bytes | None) -> object:
    try:
        return decode(value) if value is not None else None
    except ContractError:
        return None
