"""A switch of generations, told in the log itself: whoever replays it knows what was live when."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from aiokafka import AIOKafkaProducer

from consumer.store import Store
from schemas.codec import encode
from schemas.headers import cloud_event_headers

log = structlog.get_logger(__name__)
SOURCE: Final = "routefold"


async def announce(producer: AIOKafkaProducer, topic: str, store: Store) -> None:
    """Append GenerationPromoted to every partition of the events topic, unless that was done.

    Kafka first, Postgres second: after a crash in between it is told again, and readers know a
    switch by its number. Raises KafkaError, and what the database driver raises.
    """
    generation = store.unannounced
    if generation is None:
        return
    event = generation.event(SOURCE)
    sent = [
        await producer.send(
            topic,
            encode(event),
            key=event.key,
            partition=partition,
            headers=cloud_event_headers(event),
        )
        for partition in sorted(await producer.partitions_for(topic))
    ]
    await asyncio.gather(*sent)
    await store.mark_announced()
    log.info("switch announced", generation=generation.number, name=generation.name)
