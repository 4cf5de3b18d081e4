"""The publisher: events go into a bounded queue at once, and into the log in the background.

A round takes what has gathered, sends it to Kafka, and puts what Kafka does not take in time into
the spool. While Kafka is away rounds go straight to the spool; `recovery` notices its return.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from producer.batching import to_message
from producer.delivery import SEND_DEADLINE_S, Delivery, Position, deliver
from producer.entries import Entry, Receipt, encode_all, messages
from producer.errors import BrokerUnreachable, EventRefused, PublishFailed, SpoolError
from producer.link import KafkaLink, Parcel
from producer.recovery import Recovery
from producer.spool import Spool, SpoolThread
from schemas.events import Outcome, RouterConfigured, Turn
from schemas.topics import Topics

log = logging.getLogger(__name__)

# Whoever mistyped an address reads the error within this time.
START_TIMEOUT_S: Final = 10.0
# Events per round: full batches under load, and a bounded pause for the picks beside it.
ROUND_EVENTS: Final = 1_000
# How often events that nobody takes are offered again.
HOLD_S: Final = 0.5
# Part of stop()'s time for sending regularly; the rest is for the spool and for closing.
FLUSH_SHARE: Final = 0.6


@dataclass(frozen=True, slots=True)
class PublisherStats:
    """Events since start, and the present state."""

    published: int  # taken by the broker directly
    spooled: int  # taken by the spool
    replayed: int  # sent from the spool to the broker
    refused: int  # never publishable: by the broker's answer, or not encodable in the background
    dropped: int  # neither sent nor kept: the queue was full, or stop() found no spool
    queued: int
    spool_events: int
    spool_bytes: int
    online: bool  # running, and the last delivery succeeded


class Publisher:
    """Publishes events of one installation. All calls belong to the event loop that started it.

    The spool, if any, is the publisher's from here on: stop() closes it, also where start() failed.
    """

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        topics: Topics,
        spool: Spool | None,
        max_queued: int = 100_000,
        linger_ms: float = 5,
        kafka_options: Mapping[str, Any] | None = None,
    ) -> None:
        """`linger_ms` is how long a lone event waits for company. `kafka_options` are further
        keyword arguments of AIOKafkaProducer: security_protocol, ssl_context, sasl_..."""
        self._topics = topics
        self._spool = SpoolThread(spool) if spool is not None else None
        self._max_queued = max_queued
        self._linger_s = linger_ms / 1000
        self._link = KafkaLink(bootstrap_servers, topics, kafka_options or {})
        self._recovery = Recovery(self._link, topics.events, self._spool)
        self._queue: deque[Entry] = deque()
        self._in_flight: Sequence[Entry] = ()
        self._wakeup = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._running = False
        self._holding = False
        self._published = self._spooled = self._refused = self._dropped = 0

    async def start(self) -> None:
        """Connect, and begin to send; first of all what an earlier run left in the spool.

        Raises BrokerUnreachable or TopicMissing within START_TIMEOUT_S.
        """
        await self._link.connect(START_TIMEOUT_S)
        self._running = True
        self._recovery.wake()
        self._tasks = [
            asyncio.create_task(self._run(), name="publisher"),
            asyncio.create_task(self._recovery.run(), name="publisher-recovery"),
        ]

    async def stop(self, timeout_s: float = 5.0) -> None:
        """Take no more events, send the queue, put what is left into the spool, close everything.

        Bounded, whatever the brokers do. Without a spool what is left is dropped and counted, and
        its `publish` calls fail. Calling it again does nothing.
        """
        self._running = False
        self._wakeup.set()
        if self._tasks and (self._recovery.online or self._spool is not None):
            await asyncio.wait(self._tasks[:1], timeout=timeout_s * FLUSH_SHARE)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        rest = await self._encoded([*self._in_flight, *self._queue])
        self._queue.clear()
        self._in_flight = ()
        self._give_up(await self._to_spool(rest), "the publisher was stopped")
        await self._link.close()
        spool, self._spool = self._spool, None
        if spool is not None:
            await spool.close()

    def publish_nowait(self, event: Turn | Outcome, traceparent: str | None = None) -> bool:
        """Queue the event; never blocks, never raises.

        False: dropped and counted, because the queue is full or the publisher is not running.
        """
        if len(self._queue) >= self._max_queued or not self._running:
            self._dropped += 1
            return False
        self._queue.append(Entry(event, traceparent))
        self._wakeup.set()
        return True

    async def publish(
        self, events: Sequence[Turn | Outcome], traceparent: str | None = None
    ) -> list[Position | None]:
        """Return once every event is kept: its Position by the broker, None by the spool.

        Raises ContractError when an event can't be encoded (then none is published), EventRefused
        when the broker will never take one, PublishFailed when neither broker nor spool takes one
        now. After the last two some of the events may have been published: sending all of them
        again with the same ids is safe.
        """
        if not events:
            return []
        entries, faults = await encode_all([Entry(event, traceparent) for event in events])
        if faults:
            raise faults[0]
        if not self._running:
            raise PublishFailed("the publisher is not running")
        if not self._recovery.online and self._spool is None:
            raise PublishFailed(f"{self._recovery.reason}, and there is no spool")
        if len(self._queue) + len(entries) > self._max_queued:
            raise PublishFailed(
                f"{len(self._queue):,} events wait already, {self._max_queued:,} may"
            )
        receipt = Receipt(len(entries))
        for index, entry in enumerate(entries):
            entry.receipt, entry.index = receipt, index
        self._queue.extend(entries)
        self._wakeup.set()
        return await receipt.future

    async def publish_config(self, event: RouterConfigured) -> None:
        """Write the configuration to every partition of events, then to the routers topic.

        In this order, so that no router serves a version that a fold does not know. Raises
        ContractError, EventRefused, or PublishFailed; after the last some partitions may have it,
        and publishing the same event again is safe. Configurations are never spooled: the caller
        must know.
        """
        message = to_message(event)
        if not self._running:
            raise PublishFailed("the publisher is not running")
        partitions = range(self._link.event_partitions)
        await self._send_now([Parcel(self._topics.events, p, [message]) for p in partitions])
        await self._send_now([Parcel(self._topics.routers, 0, [message])])

    @property
    def stats(self) -> PublisherStats:
        """Counters and gauges, for metrics."""
        spool = self._spool.spool if self._spool is not None else None
        return PublisherStats(
            published=self._published,
            spooled=self._spooled,
            replayed=self._recovery.replayed,
            refused=self._refused + self._recovery.refused,
            dropped=self._dropped,
            queued=len(self._queue) + len(self._in_flight),
            spool_events=len(spool) if spool is not None else 0,
            spool_bytes=spool.size_bytes if spool is not None else 0,
            online=self._running and self._recovery.online,
        )

    async def _run(self) -> None:
        """Rounds, until the publisher is stopped and the queue is empty."""
        while self._running or self._queue:
            if not self._queue:
                self._wakeup.clear()
                await self._wakeup.wait()
                if len(self._queue) < ROUND_EVENTS:
                    await asyncio.sleep(self._linger_s)
            count = min(len(self._queue), ROUND_EVENTS)
            self._in_flight = [self._queue.popleft() for _ in range(count)]
            try:
                await self._round(self._in_flight)
            except Exception as error:
                log.exception("a round of %d events failed", count)
                self._give_up(self._in_flight, repr(error))
            self._in_flight = ()

    async def _round(self, entries: Sequence[Entry]) -> None:
        left: Sequence[Entry] = await self._encoded(entries)
        if self._recovery.online:
            left = await self._to_kafka(left)
        left = await self._to_spool(left)
        if left:
            await self._hold(left)
        else:
            self._holding = False

    async def _encoded(self, entries: Sequence[Entry]) -> list[Entry]:
        encoded, faults = await encode_all(entries)
        if faults:
            self._refused += len(faults)
            log.error("%d events can't be published; the first: %s", len(faults), faults[0])
        return encoded

    async def _to_kafka(self, entries: Sequence[Entry]) -> list[Entry]:
        """Send; the entries that Kafka did not take in time."""
        deliveries = await deliver(self._link, self._topics.events, messages(entries))
        return [e for e, found in zip(entries, deliveries, strict=True) if not self._done(e, found)]

    def _done(self, entry: Entry, found: Delivery) -> bool:
        match found:
            case Position():
                self._published += 1
                entry.settle(found)
            case EventRefused():
                self._refused += 1
                log.error("event refused: %s", found)
                entry.fail(found)
            case BrokerUnreachable():
                self._recovery.went_away(found)
                return False
        return True

    async def _to_spool(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Spool; the entries that the spool did not take: all or none."""
        if self._spool is None or not entries:
            return entries
        try:
            await self._spool.append(messages(entries))
        except SpoolError as error:
            if not self._holding:
                log.error("%s", error)
            return entries
        self._spooled += len(entries)
        for entry in entries:
            entry.settle(None)
        self._recovery.wake()
        return ()

    async def _hold(self, entries: Sequence[Entry]) -> None:
        """Nobody takes events: tell the callers that wait, keep the other events for later."""
        if not self._holding:
            self._holding = True
            log.error(
                "neither Kafka nor a spool takes events: at most %d wait in memory, then "
                "new ones are dropped",
                self._max_queued,
            )
        waiting = [*entries, *self._queue]
        self._queue.clear()
        self._in_flight = ()
        for entry in waiting:
            if entry.receipt is None:
                self._queue.append(entry)
            else:
                entry.fail(PublishFailed(f"{self._recovery.reason}, and no spool takes them"))
        await self._recovery.wait_online(HOLD_S)

    async def _send_now(self, parcels: Sequence[Parcel]) -> None:
        for answer in await self._link.send(parcels, SEND_DEADLINE_S):
            if isinstance(answer, EventRefused):
                raise answer
            if isinstance(answer, BrokerUnreachable):
                raise PublishFailed(str(answer))

    def _give_up(self, entries: Sequence[Entry], reason: str) -> None:
        for entry in entries:
            entry.fail(PublishFailed(reason))
        if entries:
            self._dropped += len(entries)
            log.error("%d events are lost: %s", len(entries), reason)
