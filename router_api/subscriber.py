"""Keeps the directory up to date from Kafka, for as long as the process lives.

Each connection reads both topics from the beginning into a new directory, which takes the place of
the one in use when it has caught up. So a reconnect, after however long, ends in exactly the state
that a fresh start has: tombstones that were compacted away, or topics that were created anew, leave
nothing behind. Until then, and while Kafka is away, picks are served from memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from time import monotonic, perf_counter
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError

from producer.errors import TopicMissing
from router_api.directory import Directory
from router_api.errors import Unavailable
from router_api.feed import WATCHDOG_INTERVAL_S, Feed, FeedFault
from router_api.intake import BadRecords, Intake, Observer, Record
from schemas.topics import Topics

log: Final = structlog.get_logger(__name__)

# Someone who mistyped an address reads the error within this time.
START_TIMEOUT_S: Final = 10.0
_MIN_BACKOFF_S: Final = 0.2
_MAX_BACKOFF_S: Final = 5.0
# Decoding shares the event loop with picks: so long at a stretch at most, and, once caught up, a
# quarter of its time. What comes in a pause is taken together and superseded snapshots cost next to
# nothing, so that under any load the state is a few 100 ms old at most, and never falls behind.
_SLICE_S: Final = 0.002
_PAUSE_PER_WORK: Final = 3.0
_MAX_PAUSE_S: Final = 0.2


class Subscriber:
    """Keeps `directory` up to date. All calls belong to the event loop that started it."""

    def __init__(
        self,
        *,
        bootstrap_servers: str,
        topics: Topics,
        now_ms: Callable[[], int],
        new_directory: Callable[[], Directory] | None = None,
        observer: Observer | None = None,
        kafka_options: Mapping[str, Any] | None = None,
        watchdog_interval_s: float = WATCHDOG_INTERVAL_S,
    ) -> None:
        """`observer` is told what comes into use. `kafka_options` are further keyword arguments of
        AIOKafkaConsumer: security_protocol, ssl_context, sasl_..."""
        self._new_directory = new_directory or (lambda: Directory(topics.event_partitions))
        self.directory = self._new_directory()
        self.bad_records: Final = BadRecords()
        self._bootstrap_servers = bootstrap_servers
        self._topics = topics
        self._now_ms = now_ms
        self._observer = observer
        self._kafka_options = dict(kafka_options or {})
        self._watchdog_interval_s = watchdog_interval_s
        self._ready = False
        self._connected = False
        self._changed = asyncio.Condition()
        self._feed: Feed | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """True once the state has been read to the end offsets taken at the start; for ever."""
        return self._ready

    @property
    def connected(self) -> bool:
        """True while the state in use follows the log; False while it is only kept in memory."""
        return self._connected

    async def start(self) -> None:
        """Connect, and begin to read; `ready` follows.

        Raises Unavailable when Kafka does not answer within START_TIMEOUT_S or has no such topics.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                feed = await self._connect()
        except TimeoutError:
            raise self._unavailable(f"no answer in {START_TIMEOUT_S:g} s") from None
        except (KafkaError, OSError, TopicMissing) as error:
            raise self._unavailable(_reason(error)) from error
        self._feed = feed
        self._task = asyncio.create_task(self._run(), name="subscriber")

    async def stop(self) -> None:
        """Stop reading; the directory stays as it is. Bounded. Calling it again does nothing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._feed is not None:
            await self._feed.close()  # a task that is cancelled before its first step does not
            self._feed = None

    async def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds, looked at whenever records have been applied.

        False if it does not hold within `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return condition()
        return True

    async def wait_ready(self, timeout_s: float) -> bool:
        """Wait until `ready`; False if that takes longer than `timeout_s`."""
        return await self.wait_for(lambda: self._ready, timeout_s)

    async def _run(self) -> None:
        pause_s = _MIN_BACKOFF_S
        while True:
            feed = self._feed = self._feed or await self._reconnect(pause_s)
            begun = monotonic()
            try:
                await self._follow(feed)
            except (KafkaError, OSError, TimeoutError, FeedFault) as error:
                log.warning("state is not followed, only kept in memory", reason=_reason(error))
            except Exception:
                # Whatever it is, picks go on and a fresh connection may do better.
                log.exception("state is not followed, only kept in memory")
            finally:
                self._connected = False
            await feed.close()
            self._feed = None
            # What fails at once, again and again, is not tried five times a second for ever.
            lasted = monotonic() - begun > _MAX_BACKOFF_S
            pause_s = _MIN_BACKOFF_S if lasted else min(2 * pause_s, _MAX_BACKOFF_S)

    async def _follow(self, feed: Feed) -> None:
        """Read to the end into a new directory, put it to use, and keep it up to date.

        Ends by an exception only.
        """
        directory = self._new_directory()
        intake = Intake(self._topics, directory, self.bad_records)
        waiting = False
        while not (feed.caught_up and directory.settled):
            await self._take(intake, await feed.poll())
            if feed.caught_up and not directory.settled and not waiting:
                waiting = True
                log.info("waiting for the consumers to publish all of the state that is live now")
        await self._use(directory)
        intake.observer = self._observer
        resting_until = monotonic()
        while True:
            records = await feed.poll()
            # Polled in the pause too: what lies unconsumed keeps aiokafka from fetching more.
            while (rest_s := resting_until - monotonic()) > 0:
                records += await feed.poll(ceil(rest_s * 1000))
            worked_s = await self._take(intake, records)
            resting_until = monotonic() + min(_PAUSE_PER_WORK * worked_s, _MAX_PAUSE_S)

    async def _take(self, intake: Intake, records: Sequence[Record]) -> float:
        """Apply records, in slices; the seconds of work it took."""
        if not records:
            return 0.0
        worked_s = 0.0
        begun = perf_counter()
        for _ in intake.apply(records, self._now_ms()):
            if perf_counter() - begun >= _SLICE_S:
                worked_s += perf_counter() - begun
                await asyncio.sleep(0)
                begun = perf_counter()
        worked_s += perf_counter() - begun
        await self._notify()
        return worked_s

    async def _use(self, directory: Directory) -> None:
        self.directory = directory
        self._connected = True
        if not self._ready:
            log.info("state is read", routers=len(directory.routers))
        self._ready = True
        if self._observer is not None:
            for key, source_offset in directory.shares():
                self._observer.share_applied(key, source_offset)
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _reconnect(self, pause_s: float) -> Feed:
        """A new connection, after a pause, tried for as long as it takes."""
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _MAX_BACKOFF_S)
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    return await self._connect()
            except Exception as error:
                log.debug("no connection for the state yet", reason=_reason(error))

    async def _connect(self) -> Feed:
        return await Feed.connect(
            self._bootstrap_servers, self._topics, self._kafka_options, self._watchdog_interval_s
        )

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(
            f"the state can't be read from Kafka at {self._bootstrap_servers}: {reason}"
        )


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
