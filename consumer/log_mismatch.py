"""What to say when the log lacks the offset to go on from."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition

from consumer.errors import LogMismatch
from consumer.progress import Progress


async def log_mismatch(
    consumer: AIOKafkaConsumer, topic: str, owned: Mapping[int, Progress]
) -> LogMismatch:
    """The error that names the first partition whose next offset is not in the log."""
    partitions = [TopicPartition(topic, partition) for partition in owned]
    first = await consumer.beginning_offsets(partitions)
    end = await consumer.end_offsets(partitions)
    for tp in partitions:
        at = owned[tp.partition].next_offset
        if not first[tp] <= at <= end[tp]:
            return LogMismatch(
                f"partition {tp.partition} of {tp.topic}: the next event to fold is at offset "
                f"{at}, but the log holds {first[tp]} to {end[tp]}. Was the topic emptied or "
                "created anew? The evidence in Postgres no longer matches it"
            )
    return LogMismatch(f"{topic}: an offset to fold is not in the log")
