"""How fast is a rebuild, and how much memory do its workers need?

A million events, or BENCH_EVENTS (as in `fold`: half turns, half outcomes with a completion and a
score, 8 arms, 7 request types) are in the topic; with signals, every session is followed. Kafka,
Postgres and the workers share the machine, a worker a core. The rate counts from the first events
folded to the last checkpoint: what comes before is the start of the processes. Memory is the
largest resident set of all workers together. The live consumer does not run.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.fold import EVENTS, SCORES_ONLY, fill
from benchmarks.report import print_figure
from benchmarks.servers import Bench, bench_servers
from consumer.rebuild.rebuild import Advance, Outcome, Pace, Servers, rebuild
from consumer.rebuild.settings import RebuildSettings

_SAMPLE_S = 0.1


def run() -> None:
    case = f"{EVENTS} events"
    with bench_servers() as bench:
        asyncio.run(fill(bench, EVENTS, SCORES_ONLY))
        with _largest_children() as largest:
            seconds, folding = asyncio.run(_rebuild(bench))
    print_figure("rebuild", case, "throughput", EVENTS / folding, "events/s")
    print_figure("rebuild", case, "whole command", seconds, "s")
    print_figure("rebuild", case, "workers' memory, largest", largest[0] / 2**20, "MiB")


async def _rebuild(bench: Bench) -> tuple[float, float]:
    """Seconds in all, and from the first events folded."""
    first: list[float] = []

    def watch(advance: Advance) -> None:
        if advance.done and not first:
            first.append(time.monotonic())

    servers = Servers(bench.bootstrap_servers, bench.topics.events, bench.postgres_dsn)
    workers = int(os.environ.get("BENCH_WORKERS", "0")) or None
    begun = time.monotonic()
    outcome: Outcome = await rebuild(
        servers, "bench", RebuildSettings(), None, None, Pace(workers=workers), watch
    )
    ended = time.monotonic()
    assert sum(at.progress.folded for at in outcome.contents.values()) == EVENTS
    return ended - begun, ended - first[0]


@contextmanager
def _largest_children() -> Iterator[list[int]]:
    """Yields one number: the largest sum of resident sets of our workers, in bytes."""
    largest = [0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_SAMPLE_S):
            largest[0] = max(largest[0], sum(map(_resident, psutil.Process().children())))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield largest
    finally:
        over.set()
        thread.join()


def _resident(process: psutil.Process) -> int:
    try:
        is_worker = "multiprocessing.spawn" in " ".join(process.cmdline())
        return int(process.memory_info().rss) if is_worker else 0
    except psutil.NoSuchProcess:
        return 0
