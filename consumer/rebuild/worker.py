"""One process of a rebuild: its partitions, from where they are to their ends.

It is told when to rest by the process that started it, and ends with it: when that one is gone, the
pipe between them breaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Final, NamedTuple

import psycopg
import structlog

from consumer.errors import ConsumerError
from consumer.fold import MAX_BATCH_EVENTS
from consumer.progress import Progress
from consumer.rebuild import archived, checkpoint
from consumer.rebuild.archived import Archive
from consumer.rebuild.bounds import Range
from consumer.rebuild.contents import Contents
from consumer.rebuild.errors import RebuildFailed
from consumer.rebuild.log import Log, open_log
from consumer.rebuild.memory import keep_memory
from consumer.rebuild.pacing import RateLimit
from consumer.rebuild.parting import Parting, Row, Search
from consumer.rebuild.settings import RebuildSettings
from consumer.rebuild.side import read_evidence
from consumer.rebuild.state import PartitionFold
from consumer.records import Batch
from consumer.store import Store
from schemas.evidence import Sums

log = structlog.get_logger(__name__)

# After an interruption at most so much is folded again; each checkpoint costs a tenth of a second
# and more. Whichever comes first.
CHECKPOINT_EVENTS: Final = 1_000_000
CHECKPOINT_S: Final = 20.0
# Kept in memory until a checkpoint, so a log of nothing but bad records needs more of them.
_MAX_DEAD: Final = 20_000
# The live consumer goes first whenever both want the processor.
_NICENESS: Final = 10
# A batch holds some hundred thousand objects and hardly a cycle. Looking for cycles in the middle
# of it took a seventh of the time.
_GC_THRESHOLDS: Final = (1_000_000, 50, 50)


@dataclass(frozen=True, slots=True)
class Task:
    """What one worker is to do. Passed to another process."""

    bootstrap_servers: str
    topic: str
    postgres_dsn: str
    schema: str | None  # the side schema to go on from; None: begin with nothing
    saves: bool  # False: the side schema is only read, and the worker hands over what it folded
    settings: RebuildSettings
    ranges: Mapping[int, Range]
    strict: bool = True  # as in RevisedLog
    max_rate_per_s: float = 0.0
    batch_events: int = MAX_BATCH_EVENTS
    checkpoint_events: int = CHECKPOINT_EVENTS
    # rows to find the parting of, with their live sums; then nothing else is looked for
    wanted: Mapping[Row, Sums] = field(default_factory=dict)
    archive: Archive | None = None  # what the log is read from as far as it goes

    def __repr__(self) -> str:
        return f"Task({self.topic}, partitions {sorted(self.ranges)})"  # the DSN holds a password


class Moved(NamedTuple):
    """A partition has been folded up to an offset (read, while configurations are looked for)."""

    partition: int
    next_offset: int


@dataclass(frozen=True, slots=True)
class Done:
    """The worker is done; what it folded, where it doesn't save it, or found."""

    contents: Sequence[Contents] = ()
    partings: Mapping[Row, Parting] = field(default_factory=dict)


class Ended(NamedTuple):
    """The worker can't go on."""

    error: ConsumerError


Message = Moved | Done | Ended


def main(task: Task, pipe: Connection) -> None:
    """The process. Sends Moved messages, and Done or Ended at the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; one decides
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    keep_memory()
    try:
        message: Message = asyncio.run(Worker(task, pipe).run())
    except ConsumerError as error:
        message = Ended(error)
    except psycopg.Error as error:
        message = Ended(RebuildFailed(f"Postgres: {str(error).strip()}"))
    except Exception as error:  # of which the other process would learn only that we are gone
        log.debug("a worker failed", exc_info=True)
        message = Ended(RebuildFailed(f"a worker failed: {type(error).__name__}: {error}"))
    with contextlib.suppress(OSError):  # nobody is there any more
        pipe.send(message)


class Worker:
    """Folds the partitions of a task."""

    def __init__(self, task: Task, pipe: Connection) -> None:
        self._task = task
        self._pipe = pipe
        self._go = asyncio.Event()
        self._go.set()
        self._rate = RateLimit(task.max_rate_per_s)
        self._states: dict[int, PartitionFold] = {}
        self._saved_at: dict[int, float] = {}

    async def run(self) -> Done:
        """Fold everything. Raises ConsumerError."""
        task = self._task
        asyncio.get_running_loop().add_reader(self._pipe.fileno(), self._obey)
        async with contextlib.AsyncExitStack() as stack:
            log = await stack.enter_async_context(open_log(task.bootstrap_servers, task.topic))
            store = None
            if task.schema is not None:
                store = await Store.connect(task.postgres_dsn, task.schema)
                stack.push_async_callback(store.close)
            await self._load(store, stack)
            await self._read_configurations(log)
            if task.wanted:
                return Done(partings=await self._search(log))
            async for state, batch in self._read(log):
                state.fold(batch)
                await self._folded(state, len(batch), store)
            if store is None or not task.saves:
                return Done(list(map(self._contents, self._states.values())))
            for state in self._states.values():
                await self._save(state, store)
            return Done()

    async def _read(self, log: Log) -> AsyncIterator[tuple[PartitionFold, Batch]]:
        left = {
            partition: Range(state.progress.next_offset, self._task.ranges[partition].end)
            for partition, state in self._states.items()
        }
        task = self._task
        async for partition, batch in archived.read(log, task.archive, left, task.batch_events):
            yield self._states[partition], batch

    async def _folded(self, state: PartitionFold, records: int, store: Store | None) -> None:
        self._pipe.send(Moved(state.partition, state.progress.next_offset))
        if store is not None and self._task.saves and self._is_due(state):
            await self._save(state, store)
        await self._rest(records)

    async def _search(self, log: Log) -> dict[Row, Parting]:
        searches = {
            partition: Search(
                state,
                {
                    row: sums
                    for row, sums in self._task.wanted.items()
                    if row[0].partition == partition
                },
            )
            for partition, state in self._states.items()
        }
        async for state, batch in self._read(log):
            search = searches[state.partition]
            if search.is_over:
                continue
            search.fold(batch)
            await self._folded(state, len(batch), None)
        return {row: at for search in searches.values() for row, at in search.found().items()}

    async def _load(self, store: Store | None, stack: contextlib.AsyncExitStack) -> None:
        """Where each partition stands: at its last checkpoint, or at its start."""
        task = self._task
        partitions = sorted(task.ranges)
        if store is None or task.schema is None:
            at = [Progress(p, epoch=0, next_offset=task.ranges[p].start) for p in partitions]
        elif task.saves:
            at = await store.take(partitions)
        else:
            at = checkpoint.progress(task.postgres_dsn, task.schema, partitions)
        for progress in at:
            state = PartitionFold(progress, task.settings, saves=task.saves, strict=task.strict)
            stack.callback(state.close)
            if store is not None and task.schema is not None:
                await checkpoint.load(store, task.postgres_dsn, task.schema, state)
            self._states[state.partition] = state
        self._saved_at = dict.fromkeys(self._states, time.monotonic())

    async def _read_configurations(self, log: Log) -> None:
        """A rebuild that begins in the middle must know the routers configured before."""
        task = self._task
        held = await archived.held(log, task.archive)
        before = {
            partition: Range(held[partition].start, state.progress.next_offset)
            for partition, state in self._states.items()
            if state.progress.next_offset == task.ranges[partition].start and not state.routers
        }
        async for partition, batch in archived.read(log, task.archive, before, task.batch_events):
            self._states[partition].configure(batch)
            self._pipe.send(Moved(partition, int(batch.offset[-1]) + 1))
            await self._rest(len(batch))

    async def _rest(self, events: int) -> None:
        """Not faster than allowed, and not at all while the live consumer needs the machine."""
        delay_s = self._rate.delay_s(time.monotonic(), events)
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        await self._go.wait()

    def _obey(self) -> None:
        """Rest and go on as told, and end with the process that tells."""
        try:
            if self._pipe.recv():
                self._go.set()
            else:
                self._go.clear()
        except (EOFError, OSError):
            os._exit(1)

    def _is_due(self, state: PartitionFold) -> bool:
        return (
            state.unsaved.events >= self._task.checkpoint_events
            or time.monotonic() - self._saved_at[state.partition] > CHECKPOINT_S
            or len(state.unsaved.dead) >= _MAX_DEAD
        )

    async def _save(self, state: PartitionFold, store: Store) -> None:
        if state.unsaved.events or state.unsaved.routers:
            await checkpoint.save(store, state)
        self._saved_at[state.partition] = time.monotonic()

    def _contents(self, state: PartitionFold) -> Contents:
        task = self._task
        if task.schema is None:
            return state.contents({})
        stored = read_evidence(task.postgres_dsn, task.schema, state.partition)
        return state.contents(stored)
