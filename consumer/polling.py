"""Records of the log, gathered into batches that are worth a transaction."""

from __future__ import annotations

import time
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord

from consumer.fold import MAX_BATCH_EVENTS

# A small batch costs its transaction, some 5 ms; one begins at most this often. It is the largest
# part of the time from an outcome to its use, of which half is promised in 150 ms.
BATCH_INTERVAL_S: Final = 0.03
# How long a poll of an idle log lasts; a stop is noticed after it.
IDLE_POLL_MS: Final = 100


class Polling:
    """Reads what has come of a consumer's partitions."""

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self._batch_at = time.monotonic()

    async def poll(self) -> dict[int, list[ConsumerRecord]]:
        """Records by partition, gathered until a batch is full or the interval since the last is
        over. Polled all the while: aiokafka fetches no more of a partition with records waiting."""
        records: dict[int, list[ConsumerRecord]] = {}
        room = MAX_BATCH_EVENTS
        until = max(self._batch_at + BATCH_INTERVAL_S, time.monotonic())
        while room > MAX_BATCH_EVENTS // 2:
            left_ms = max(int((until - time.monotonic()) * 1000), 0)
            # without any record there is no hurry to fold: wait for the first
            timeout_ms = left_ms if records else max(left_ms, IDLE_POLL_MS)
            polled = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=room)
            for tp, its_records in polled.items():
                records.setdefault(tp.partition, []).extend(its_records)
                room -= len(its_records)
            if time.monotonic() >= until and (records or not polled):
                break
        self._batch_at = time.monotonic()
        return records
