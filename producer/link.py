"""The connection to Kafka: one idempotent producer at a time, replaced when it is beyond repair.

A send ends by its deadline, whatever the brokers do. What was not acknowledged by then may still
reach the log: the caller sends it again, and readers drop the duplicate by its facts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTimestampError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
)

from producer.batching import MAX_BATCH_BYTES, Message
from producer.errors import BrokerUnreachable, EventRefused, ProducerError, TopicMissing
from schemas.topics import Topics

log = logging.getLogger(__name__)

# Not below the publisher's deadline: asking a slow broker again sooner only adds to its load.
REQUEST_TIMEOUT_MS: Final = 3_000
# After a fault, doubled each time: a broker that answers with errors is not flooded.
RESEND_PAUSE_S: Final = 0.1
# A goodbye takes milliseconds; a broker that is gone must not hold up a shutdown.
CLOSE_TIMEOUT_S: Final = 1.0
# Answers about the content: the same bytes would be refused again.
_REFUSALS: Final = (
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    InvalidTimestampError,
    PolicyViolationError,
)


class Parcel(NamedTuple):
    """Messages for one partition of one topic, written side by side."""

    topic: str
    partition: int
    messages: Sequence[Message]


class KafkaLink:
    """Sends parcels. Calls may overlap; all belong to the event loop that called `connect`.

    `kafka_options` are further keyword arguments of AIOKafkaProducer, such as security_protocol,
    ssl_context and the sasl_ family.
    """

    def __init__(
        self, bootstrap_servers: str, topics: Topics, kafka_options: Mapping[str, Any]
    ) -> None:
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._kafka_options = dict(kafka_options)
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._event_partitions = 0
        self._sends: set[asyncio.Task[int]] = set()  # all of them on the current producer
        self._burials: set[asyncio.Task[None]] = set()

    @property
    def event_partitions(self) -> int:
        """Partitions of the events topic, as the cluster has it. 0 before the first connection."""
        return self._event_partitions

    async def connect(self, timeout_s: float) -> None:
        """Have a producer that has spoken with the cluster; does nothing when there is one.

        Raises BrokerUnreachable, also when `timeout_s` is over, and TopicMissing.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected()
        except KafkaConnectionError as error:
            raise self._not_there("no connection") from error
        except TimeoutError:
            raise self._not_there(f"no answer in {timeout_s:.1f} s") from None
        except (KafkaError, OSError) as error:
            raise self._not_there(_reason(error)) from error

    async def send(
        self, parcels: Sequence[Parcel], timeout_s: float
    ) -> list[int | EventRefused | BrokerUnreachable]:
        """What became of each parcel: its first offset, or why the log does not have it.

        EventRefused: the broker will never take this content. BrokerUnreachable: not acknowledged
        within `timeout_s`. A faulty producer is replaced and its parcels are sent again meanwhile.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        pause_s = RESEND_PAUSE_S
        reason = f"not acknowledged in {timeout_s:.1f} s"
        settled: dict[int, int | EventRefused] = {}
        while missing := [i for i in range(len(parcels)) if i not in settled]:
            answers = await self._attempt([parcels[i] for i in missing], deadline)
            for index, answer in zip(missing, answers, strict=True):
                if isinstance(answer, int | EventRefused):
                    settled[index] = answer
                elif not isinstance(answer, TimeoutError):
                    reason = _reason(answer)
            if asyncio.get_running_loop().time() + pause_s >= deadline:
                break
            if len(settled) < len(parcels):
                await asyncio.sleep(pause_s)
                pause_s *= 2
        return [
            settled[i] if i in settled else self._unreachable(reason) for i in range(len(parcels))
        ]

    async def close(self) -> None:
        """Give up the producer, unsent parcels included. Bounded; the link can connect again."""
        self._discard(self._producer)
        for patience_s in (CLOSE_TIMEOUT_S, 2 * CLOSE_TIMEOUT_S):
            if burials := set(self._burials):
                await asyncio.wait(burials, timeout=patience_s)
            for burial in self._burials:
                burial.cancel()

    async def _attempt(
        self, parcels: Sequence[Parcel], deadline: float
    ) -> Sequence[int | EventRefused | Exception]:
        """One try for every parcel, all at once, until `deadline`."""
        try:
            async with asyncio.timeout_at(deadline):
                producer = await self._connected()
        except Exception as error:
            return [error] * len(parcels)
        tasks = [asyncio.create_task(_send(producer, parcel)) for parcel in parcels]
        self._sends.update(tasks)
        try:
            remaining_s = deadline - asyncio.get_running_loop().time()
            await asyncio.wait(tasks, timeout=max(remaining_s, 0.0))
        finally:
            self._sends.difference_update(tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        answers = [_answer(task) for task in tasks]
        if any(not isinstance(answer, int | EventRefused) for answer in answers):
            # It would go on sending what the caller is about to send again or put elsewhere, and
            # after an error of idempotence (sequence, epoch) it can't send anything any more.
            self._discard(producer)
        return answers

    async def _connected(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                self._producer = await self._start_producer()
            return self._producer

    async def _start_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            enable_idempotence=True,
            acks="all",
            compression_type="lz4",
            # Twice what is planned for, so that no append is refused for an estimate.
            max_batch_size=2 * MAX_BATCH_BYTES,
            linger_ms=0,  # the publisher lingers
            request_timeout_ms=REQUEST_TIMEOUT_MS,
            retry_backoff_ms=100,
            metadata_max_age_ms=60_000,
            **self._kafka_options,
        )
        try:
            await producer.start()
            # Asking for all topics: asking for one by name may create it on the broker.
            cluster = await producer.client.fetch_all_metadata()
            for topic in (self._topics.events, self._topics.routers):
                if not cluster.partitions_for_topic(topic):
                    raise TopicMissing(topic)
                await producer.partitions_for(topic)
            self._event_partitions = len(cluster.partitions_for_topic(self._topics.events))
        except BaseException:
            self._bury(producer)
            raise
        return producer

    def _discard(self, producer: AIOKafkaProducer | None) -> None:
        """Have the next attempt start a new producer, unless somebody has seen to it before."""
        if producer is None or self._producer is not producer:
            return
        self._producer = None
        for task in self._sends:
            task.cancel()
        self._bury(producer)

    def _bury(self, producer: AIOKafkaProducer) -> None:
        burial = asyncio.create_task(_dismantle(producer))
        self._burials.add(burial)
        burial.add_done_callback(self._burials.discard)

    def _not_there(self, reason: str) -> BrokerUnreachable:
        return BrokerUnreachable(
            f"Kafka does not answer at {self._bootstrap_servers} ({reason}): "
            "is it running, and is the address right?"
        )

    def _unreachable(self, reason: str) -> BrokerUnreachable:
        return BrokerUnreachable(
            f"Kafka at {self._bootstrap_servers} does not take events: {reason}"
        )


async def _send(producer: AIOKafkaProducer, parcel: Parcel) -> int:
    builder = producer.create_batch()
    for key, value, headers in parcel.messages:
        added = builder.append(timestamp=None, key=key, value=value, headers=headers)
        assert added is not None, "batches are planned well below the builder's limit"
    builder.close()
    delivery = await producer.send_batch(builder, parcel.topic, partition=parcel.partition)
    return int((await delivery).offset)


def _answer(task: asyncio.Task[int]) -> int | EventRefused | Exception:
    if task.cancelled():
        return TimeoutError()
    error = task.exception()
    if isinstance(error, _REFUSALS):
        return EventRefused(f"the broker refuses the event: {_reason(error)}")
    if isinstance(error, Exception):
        return error
    return task.result()


def _reason(error: BaseException) -> str:
    if isinstance(error, ProducerError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def _dismantle(producer: AIOKafkaProducer) -> None:
    """Close a producer without sending what it still holds.

    Its own stop() waits for every batch, and an idempotent batch never expires: with the brokers
    gone it would wait for ever. aiokafka 0.14 has no public way to stop the sender alone.
    """
    producer._closed = True
    sender: asyncio.Task[None] | None = producer._sender.sender_task
    try:
        if sender is not None:
            # Requests under way end by their own timeout; two for the answer and for new metadata.
            sender.cancel()
            await asyncio.wait({sender}, timeout=2 * REQUEST_TIMEOUT_MS / 1000)
    finally:
        while sender is not None and not sender.done():  # out of patience, or cancelled
            sender.cancel()
            await asyncio.wait({sender}, timeout=0.02)
        try:
            await asyncio.wait_for(producer.client.close(), CLOSE_TIMEOUT_S)
        except (TimeoutError, KafkaError, OSError) as error:
            log.debug("connections to Kafka not closed cleanly: %s", _reason(error))
