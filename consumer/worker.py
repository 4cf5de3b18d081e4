"""The loop: Kafka decides which partitions are ours, Postgres decides whether we may write.

On taking partitions: raise their epoch, read the next offset, seek there, publish their shares. On
losing one of the servers: go on trying, and take the partitions again when it is back, which also
settles whether an interrupted commit went through. When other tables have become live: take the
partitions again there. On `Fenced` by another writer: stop; a supervisor starts anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any, Final

import psycopg
import structlog
from aiokafka import (
    AIOKafkaConsumer,
    AIOKafkaProducer,
    ConsumerRebalanceListener,
    TopicPartition,
)
from aiokafka.errors import CommitFailedError, KafkaError, OffsetOutOfRangeError
from aiokafka.structs import ConsumerRecord

from consumer.announcement import announce
from consumer.errors import ConsumerError, Fenced, GenerationChanged, Unreachable
from consumer.fold import ShareKey
from consumer.log_mismatch import log_mismatch
from consumer.metrics import ConsumerMetrics
from consumer.outbox import Outbox
from consumer.polling import Polling
from consumer.progress import Progress
from consumer.records import Batch
from consumer.refold import Refold
from consumer.store import Store
from consumer.writer import Committed, Writer
from schemas.snapshot import Snapshot
from schemas.topics import Topics

log = structlog.get_logger(__name__)

# A pause between tries while a server is away: soon enough to resume, too slow to hammer it.
RETRY_S: Final = 1.0
# A member that died is replaced after this long; below 6 s brokers refuse it by default.
SESSION_TIMEOUT_MS: Final = 6_000
# aiokafka has been seen alive but stuck after a broker restart: no progress for this long, with
# records waiting, ends the process, and its supervisor starts a fresh one.
STALL_S: Final = 60.0
# What psycopg raises when the server or the connection is gone, and never for bad data.
DATABASE_AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError)
# How often an idle writer looks whether other tables have become live. A busy one is fenced.
LOOK_S: Final = 0.25
# How often what has expired is dropped, and offsets and lag are reported.
HOUSEKEEPING_S: Final = 5.0
# Every share is published anew this often. It bounds how long a router that starts cold can read an
# old share, should a frozen former writer wake and append one after the present writer's.
REPUBLISH_S: Final = 300.0


class Worker(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Runs until `stop` is set, or a ConsumerError ends it.

    `connect` opens the store; it is called again after the database went away.
    """

    def __init__(
        self,
        *,
        consumer: AIOKafkaConsumer,
        producer: AIOKafkaProducer,
        topics: Topics,
        connect: Callable[[], Coroutine[Any, Any, Store]],
        metrics: ConsumerMetrics,
    ) -> None:
        self._consumer = consumer
        self._producer = producer
        self._topics = topics
        self._connect = connect
        self._metrics = metrics
        self._store: Store | None = None
        self._writer: Writer | None = None
        self._refold = Refold({})
        self._polling = Polling(consumer)
        self._outbox = Outbox(
            producer,
            topics.snapshots,
            self._snapshot,
            lambda: self._refold.published(self.owned),
            metrics,
        )
        # A batch and a change of ownership must not overlap.
        self._busy = asyncio.Lock()
        # Records fetched while the ownership changed are dropped, and fetched again.
        self._ownership = 0
        # Other tables have become live; the fold loop opens them.
        self._switched = False
        self._moved_at = time.monotonic()

    @property
    def owned(self) -> dict[int, Progress]:
        """Progress by partition, for the partitions this worker writes."""
        return self._writer.progress if self._writer else {}

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until `stop` is set. Raises ConsumerError."""
        await self._open_store()
        self._consumer.subscribe([self._topics.events], listener=self)
        tasks = [
            asyncio.create_task(self._fold_until(stop), name="fold"),
            asyncio.create_task(self._publish(), name="outbox"),
            asyncio.create_task(self._keep_house(), name="housekeeping"),
            asyncio.create_task(self._watch_generation(), name="generation"),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()

    async def _close(self) -> None:
        # What was committed last should reach the routers; else the next start sends it.
        with contextlib.suppress(KafkaError, TimeoutError):
            await asyncio.wait_for(self._outbox.flush(), timeout=2.0)
        if self._store is not None:
            with contextlib.suppress(psycopg.Error):
                await self._store.close()

    async def _open_store(self) -> None:
        self._store = await self._connect()
        self._switched = False
        generation = self._store.generation
        self._refold = Refold(generation.offsets if generation else {})
        self._writer = Writer(self._store, generation.settings if generation else None)
        self._metrics.generation.set(generation.number if generation else 0)

    def _snapshot(self, key: ShareKey) -> Snapshot | None:
        assert self._writer is not None
        return self._writer.snapshot(key)

    # Called by aiokafka, which waits for them before it goes on with the rebalance.

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        async with self._busy:
            self._ownership += 1
            if self._writer is not None:
                self._writer.drop(tp.partition for tp in revoked)

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        # A partition without a position would be looked up among the group's offsets as soon as we
        # wait for the database. It gets one now, and is not read until it has the right one.
        self._consumer.pause(*assigned)
        for tp in assigned:
            self._consumer.seek(tp, 0)
        async with self._busy:
            try:
                await self._take({tp.partition for tp in assigned})
            except (GenerationChanged, *DATABASE_AWAY) as error:
                # Raising here would kill aiokafka's coordinator; the fold loop takes them instead.
                log.warning("partitions not taken yet", error=str(error).strip())

    async def _take(self, partitions: Iterable[int]) -> None:
        """Become the writer and seek. Raises GenerationChanged."""
        assert self._writer is not None
        wanted = [TopicPartition(self._topics.events, p) for p in sorted(partitions)]
        if not wanted:
            return
        self._ownership += 1
        refused_before = self._writer.refused_rows
        taken = await self._writer.take(tp.partition for tp in wanted)
        if refused := self._writer.refused_rows - refused_before:
            self._metrics.refused_rows.inc(refused)
            log.error(
                "evidence that can't be is left out; a rebuild makes it anew from the log",
                rows=refused,
            )
        self._refold.caught_up(self.owned)
        self._seek(progress.partition for progress in taken)
        for tp, progress in zip(wanted, taken, strict=True):
            self._metrics.next_offset.labels(tp.partition).set(progress.next_offset)
            self._outbox.mark(self._writer.shares.keys(tp.partition), [tp.partition])
        self._consumer.resume(*wanted)
        self._moved_at = time.monotonic()
        log.info(
            "partitions taken",
            partitions={p.partition: {"epoch": p.epoch, "next": p.next_offset} for p in taken},
        )

    def _seek(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            if at := self.owned.get(partition):
                tp = TopicPartition(self._topics.events, partition)
                self._consumer.seek(tp, at.next_offset)

    async def _fold_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                if self._switched:
                    await self._follow_generation(stop)
                await self._fold_once()
            except DATABASE_AWAY as error:
                await self._recover(error, stop)
            except GenerationChanged:
                self._switched = True
            except OffsetOutOfRangeError as error:
                raise await log_mismatch(self._consumer, self._topics.events, self.owned) from error
            except KafkaError as error:
                log.warning("Kafka does not answer, will retry", error=repr(error))
                self._metrics.interruptions.labels("kafka").inc()
                await _sleep(RETRY_S, stop)

    async def _fold_once(self) -> None:
        """Fold what has come, once a batch is full or its interval over."""
        await self._take_what_is_ours()
        ownership = self._ownership
        records = await self._polling.poll()
        if not records:
            return
        async with self._busy:
            if ownership != self._ownership:
                self._seek(records)
                return
            started = time.monotonic()
            moved = records.keys() & self.owned.keys()
            for committed in await self._write(records):
                self._outbox.mark(committed.changed, moved)
                self._count(committed)
            self._mark_all(self._refold.caught_up(self.owned))
            self._moved_at = time.monotonic()
            self._metrics.batch_seconds.observe(self._moved_at - started)

    async def _write(self, records: dict[int, list[ConsumerRecord]]) -> list[Committed]:
        """Raises Fenced by another writer, GenerationChanged by a switch."""
        assert self._writer is not None
        assert self._store is not None
        try:
            return await self._writer.write(Batch.of(records))
        except Fenced:
            if await self._store.is_live():
                raise
            raise GenerationChanged("other tables have become live") from None

    async def _take_what_is_ours(self) -> None:
        """Take partitions that were assigned while the database was away."""
        assigned = {tp.partition for tp in self._consumer.assignment()}
        if assigned - self.owned.keys():
            async with self._busy:
                await self._take(assigned - self.owned.keys())

    def _count(self, committed: Committed) -> None:
        fates = self._metrics.events.labels
        fates("folded").inc(committed.counts.folded)
        fates("duplicate").inc(committed.counts.duplicates)
        fates("late").inc(committed.counts.late)
        fates("dead").inc(len(committed.dead))
        for letter in committed.dead:
            self._metrics.dead_letters.labels(letter.reason).inc()
        if committed.dead:
            first = committed.dead[0]
            log.warning("dead letters", count=len(committed.dead), reason=first.reason)

    async def _recover(self, error: psycopg.Error, stop: asyncio.Event) -> None:
        """Wait for the database, then take the partitions again: it knows what was committed."""
        log.warning("Postgres does not answer, will retry", error=str(error).strip())
        self._metrics.interruptions.labels("postgres").inc()
        async with self._busy:
            await self._reopen(stop)
        log.info("Postgres is back")

    async def _reopen(self, stop: asyncio.Event) -> None:
        """Open the tables that are live and take the partitions there, tried until it works. The
        caller holds `_busy`."""
        while not stop.is_set():
            if self._store is not None:
                with contextlib.suppress(psycopg.Error):
                    await self._store.close()
            try:
                await self._open_store()
                await self._take(tp.partition for tp in self._consumer.assignment())
            except GenerationChanged:
                continue
            except (Unreachable, *DATABASE_AWAY):
                await _sleep(RETRY_S, stop)
            else:
                return

    async def _follow_generation(self, stop: asyncio.Event) -> None:
        """Go on with the tables that have become live, from the offsets that they have."""
        async with self._busy:
            await self._reopen(stop)
        if self._store is not None and (generation := self._store.generation) is not None:
            number, name, command = generation.number, generation.name, generation.command
            log.info("other tables are live", generation=number, name=name, command=command)

    async def _watch_generation(self) -> None:
        """Notice a switch while nothing comes, and tell of it where replays see it."""
        while True:
            await asyncio.sleep(LOOK_S)
            assert self._store is not None
            if self._busy.locked() and self._store.unannounced is None:
                continue  # a batch is being written: it will be fenced
            try:
                async with self._busy:
                    self._switched = not await self._store.is_live()
                    if 0 in self.owned and not self._switched:  # one worker of all
                        await announce(self._producer, self._topics.events, self._store)
            except (KafkaError, *DATABASE_AWAY) as error:
                log.debug("not looked for a switch", error=repr(error))
                await asyncio.sleep(RETRY_S)

    async def _publish(self) -> None:
        while True:
            await self._outbox.run_once()

    async def _keep_house(self) -> None:
        published_at = time.monotonic()
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            try:
                if time.monotonic() - published_at > REPUBLISH_S:
                    published_at = time.monotonic()
                    self._mark_all(self.owned)
                    await self._forget_sessions()
                await self._report_position()
                await self._forget()
            except (KafkaError, *DATABASE_AWAY) as error:
                log.debug("housekeeping skipped", error=repr(error))

    def _mark_all(self, partitions: Iterable[int]) -> None:
        assert self._writer is not None
        for partition in partitions:
            self._outbox.mark(self._writer.shares.keys(partition), [partition])

    async def _report_position(self) -> None:
        """Lag for our metrics; group offsets so that the usual Kafka tools show it as well."""
        owned = {TopicPartition(self._topics.events, p): at for p, at in self.owned.items()}
        if not owned:
            return
        end = await self._consumer.end_offsets(list(owned))
        waiting = 0
        for tp, progress in owned.items():
            lag = end[tp] - progress.next_offset
            waiting += lag
            self._metrics.lag.labels(tp.partition).set(lag)
            self._metrics.next_offset.labels(tp.partition).set(progress.next_offset)
        if not waiting:
            self._moved_at = time.monotonic()
        elif time.monotonic() - self._moved_at > STALL_S:
            raise ConsumerError(
                f"{waiting} records wait but none was folded for {STALL_S:.0f} s; restarting helps"
            )
        with contextlib.suppress(CommitFailedError):  # a rebalance is under way
            await self._consumer.commit({tp: at.next_offset for tp, at in owned.items()})

    async def _forget_sessions(self) -> None:
        """Reads the whole table, so it is done seldom."""
        async with self._busy:
            assert self._writer is not None
            await self._writer.forget_sessions()

    async def _forget(self) -> None:
        if self._busy.locked():
            return  # a batch is being written; there is no hurry
        async with self._busy:
            assert self._writer is not None
            await self._writer.forget()


async def _sleep(seconds: float, stop: asyncio.Event) -> None:
    """Sleep, but not beyond a stop."""
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), timeout=seconds)
