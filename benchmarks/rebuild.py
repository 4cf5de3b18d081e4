"""How fast is a rebuild, from Kafka and from an archive, and how much memory do its workers need?

Two million events, or BENCH_EVENTS (as in `fold`: half turns, half outcomes with a completion and a
score, 8 arms, 7 request types), of ten days are in the topic, and exported; in the case "with
signals" every session is followed, as with the default rewards. Kafka, Postgres and the workers,
one a core or BENCH_WORKERS, share the machine. The rate is the median of three rebuilds, and counts
from the first events folded to the last checkpoint: what comes before is the start of the
processes. Memory is the largest resident set of all workers together. The live consumer does not
run.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.fold import SCORES_ONLY, fill
from benchmarks.report import print_figure
from benchmarks.servers import Bench, bench_servers
from consumer.rebuild.archived import Archive
from consumer.rebuild.rebuild import Advance, Outcome, Pace, Servers, rebuild
from consumer.rebuild.settings import RebuildSettings
from routefold.history.export import export
from routefold.rebuilds.archived import open_events
from schemas.router_config import SIGNAL_REWARDS

EVENTS = int(os.environ.get("BENCH_EVENTS", "2000000"))
_REBUILDS = 3
_SAMPLE_S = 0.1
_SPAN_MS = 10 * 86_400_000


def run() -> None:
    _measure(f"{EVENTS} events", SCORES_ONLY)
    _measure(f"{EVENTS} events, with signals", {**SCORES_ONLY, **SIGNAL_REWARDS})


def _measure(case: str, rewards: Mapping[str, float]) -> None:
    with bench_servers() as bench, tempfile.TemporaryDirectory() as made:
        directory = Path(made) / "archive"
        asyncio.run(fill(bench, EVENTS, rewards, step_ms=max(_SPAN_MS * 2 // EVENTS, 1)))
        begun = time.monotonic()
        asyncio.run(export(bench.bootstrap_servers, bench.topics, directory, progress=_Silent()))
        print_figure("rebuild", case, "export", EVENTS / (time.monotonic() - begun), "events/s")
        digests = {
            _report(f"{case}, {source}", bench, source, archive)
            for source, archive in (("Kafka", None), ("archive", open_events(directory)))
        }
    assert len(digests) == 1, "an archive must give what its log gives"


def _report(case: str, bench: Bench, name: str, archive: Archive | None) -> str:
    with _largest_children() as largest:
        runs = [
            asyncio.run(_rebuild(bench, f"{name.lower()}{number}", archive))
            for number in range(_REBUILDS)
        ]
    seconds = statistics.median(seconds for seconds, _, _ in runs)
    folding = statistics.median(folding for _, folding, _ in runs)
    digests = {digest for _, _, digest in runs}
    print_figure("rebuild", case, "throughput, median", EVENTS / folding, "events/s")
    print_figure("rebuild", case, "whole command, median", seconds, "s")
    print_figure("rebuild", case, "workers' memory, largest", largest[0] / 2**20, "MiB")
    assert len(digests) == 1, "any rebuild must give the same"
    return digests.pop()


async def _rebuild(bench: Bench, name: str, archive: Archive | None) -> tuple[float, float, str]:
    """Seconds in all, and from the first events folded; the digest."""
    first: list[float] = []

    def watch(advance: Advance) -> None:
        if advance.done and not first:
            first.append(time.monotonic())

    servers = Servers(bench.bootstrap_servers, bench.topics.events, bench.postgres_dsn, archive)
    workers = int(os.environ.get("BENCH_WORKERS", "0")) or None
    begun = time.monotonic()
    outcome: Outcome = await rebuild(
        servers, name, RebuildSettings(), None, None, Pace(workers=workers), watch
    )
    ended = time.monotonic()
    assert sum(at.progress.folded for at in outcome.contents.values()) == EVENTS
    return ended - begun, ended - first[0], outcome.digest


class _Silent:
    """An export's progress, shown to nobody."""

    def reading(self, done: int, total: int) -> None:
        pass

    def joining(self, done: int, total: int) -> None:
        pass


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
