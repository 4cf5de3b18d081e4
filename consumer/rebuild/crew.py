"""The workers of a command: started, slowed down, watched, and ended with it.

One process a worker, as folding is work for the processor. All of them end when one fails: what is
left can be done by the same command again, and its reason should be read before.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final, NamedTuple

import psycopg
from aiokafka.errors import KafkaError
from psycopg import sql as compose

from consumer.migrate import CONNECT_TIMEOUT_S, SCHEMA
from consumer.rebuild.bounds import Range
from consumer.rebuild.errors import RebuildFailed
from consumer.rebuild.log import Log
from consumer.rebuild.pacing import LagGuard
from consumer.rebuild.worker import Done, Ended, Message, Moved, Task, main
from consumer.sql import sql

_STOP_TIMEOUT_S: Final = 5.0
_LOOK_S: Final = 1.0


def share_out(ranges: Mapping[int, Range], workers: int) -> list[dict[int, Range]]:
    """Partitions for each worker, so that all have about as much to do; none has nothing."""
    groups: list[dict[int, Range]] = [{} for _ in range(min(workers, len(ranges)))]
    loads = [0] * len(groups)
    by_size = sorted(ranges.items(), key=lambda item: (item[1].start - item[1].end, item[0]))
    for partition, wanted in by_size:
        least = loads.index(min(loads))
        groups[least][partition] = wanted
        # a partition costs something even where it holds nothing
        loads[least] += wanted.end - wanted.start + 1
    return groups


def tasks_for(whole: Task, workers: int) -> list[Task]:
    """The task, cut for so many workers."""
    groups = share_out(whole.ranges, workers)
    rate = whole.max_rate_per_s / len(groups)
    return [replace(whole, ranges=group, max_rate_per_s=rate) for group in groups]


class _Hand(NamedTuple):
    process: SpawnProcess
    pipe: Connection


class Crew:
    """Runs one worker for each task. `on_moved` is called as partitions advance."""

    def __init__(self, tasks: Sequence[Task], on_moved: Callable[[Moved], None]) -> None:
        self._tasks = tasks
        self._on_moved = on_moved
        self._hands: list[_Hand] = []

    async def run(self) -> Done:
        """What all workers have done.

        Raises the first worker's ConsumerError. However this ends, no worker is left.
        """
        listening: list[asyncio.Task[Done]] = []
        try:
            for task in self._tasks:
                self._hands.append(_start(task))
            listening += [asyncio.create_task(self._listen(hand)) for hand in self._hands]
            done = await asyncio.gather(*listening)
        finally:
            for each in listening:
                each.cancel()
            await asyncio.gather(*listening, return_exceptions=True)
            await asyncio.shield(asyncio.to_thread(self._stop))
        return Done(
            [contents for each in done for contents in each.contents],
            {row: at for each in done for row, at in each.partings.items()},
        )

    def tell(self, *, go: bool) -> None:
        """Let all workers go on, or rest."""
        for hand in self._hands:
            with contextlib.suppress(OSError):  # it has ended
                hand.pipe.send(go)

    async def _listen(self, hand: _Hand) -> Done:
        loop = asyncio.get_running_loop()
        messages: asyncio.Queue[Message | None] = asyncio.Queue()

        def read() -> None:
            try:
                messages.put_nowait(hand.pipe.recv())
            except (EOFError, OSError):
                loop.remove_reader(hand.pipe.fileno())
                messages.put_nowait(None)

        loop.add_reader(hand.pipe.fileno(), read)
        try:
            while True:
                match await messages.get():
                    case Moved() as moved:
                        self._on_moved(moved)
                    case Done() as done:
                        return done
                    case Ended(error):
                        raise error
                    case None:
                        raise RebuildFailed(_died(hand.process))
        finally:
            loop.remove_reader(hand.pipe.fileno())

    def _stop(self) -> None:
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        for hand in self._hands:
            hand.process.terminate()
        for hand in self._hands:
            hand.process.join(max(deadline - time.monotonic(), 0.1))
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
            hand.pipe.close()
            hand.process.close()


def _start(task: Task) -> _Hand:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=main, args=(task, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Hand(process, ours)


def _died(process: SpawnProcess) -> str:
    process.join(_STOP_TIMEOUT_S)
    code = process.exitcode
    how = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return f"a worker ended before its time ({how}): run the same command again to go on"


async def keep_up(
    log: Log, postgres_dsn: str, guard: LagGuard, tell: Callable[[bool], None]
) -> None:
    """Look every second how far the live consumer is; tell when to rest and when to go on.

    Ends when a server is away: the workers will find out, and say so.
    """
    with contextlib.suppress(psycopg.Error, KafkaError):
        connection = await psycopg.AsyncConnection.connect(
            postgres_dsn, autocommit=True, connect_timeout=CONNECT_TIMEOUT_S
        )
        async with connection:
            row = await (await connection.execute(sql("live_schema"))).fetchone()
            schema = compose.Identifier(SCHEMA if row is None else row[0])
            await connection.execute(compose.SQL("SET search_path TO {}").format(schema))
            while True:
                await _look(log, connection, guard, tell)
                await asyncio.sleep(_LOOK_S)
    tell(True)


async def _look(
    log: Log, connection: psycopg.AsyncConnection, guard: LagGuard, tell: Callable[[bool], None]
) -> None:
    cursor = await connection.execute(sql("read_progress"))
    position = {row[0]: row[1] for row in await cursor.fetchall()}
    held = await log.held()
    lag = sum(
        max(where.end - max(position.get(partition, 0), where.start), 0)
        for partition, where in held.items()
    )
    rested = guard.resting
    if guard.observe(time.monotonic(), sum(position.values()), lag) != rested:
        tell(rested)
