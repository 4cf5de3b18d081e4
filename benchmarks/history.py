"""How fast do data teams get at the log: as Parquet, as tables in memory, and back from an archive?

Half a million events (half turns, half outcomes with a completion and a score) are in the topic
first; Kafka and the reader share the machine. `export` counts from the first look at the log to the
manifest in place. The archive is read as a rebuild reads it: checksums compared, every record a
Python object. `decoded` also makes columns of them, as the fold does. Memory is the process's peak,
over that before the export.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import print_figure
from benchmarks.servers import Bench, bench_servers
from consumer.decode import decode_batch
from producer.publisher import Publisher
from routefold import collector
from routefold.history import read_history
from routefold.history.archive import open_archive
from routefold.history.export import export
from schemas.request_types import REQUEST_TYPES
from tests.factories import config, configured, traffic

EVENTS = int(os.environ.get("BENCH_EVENTS", "500000"))
ARMS = tuple(f"model-{i}" for i in range(8))
_CHUNK = 20_000


def run() -> None:
    with bench_servers() as bench:
        asyncio.run(_fill(bench))
        out = bench.directory / "archive"
        collector.tame()  # as the commands do
        before = _peak_bytes()
        with _rate("export"):
            asyncio.run(_export(bench, out))
        _print("export", "memory, peak", (_peak_bytes() - before) / 2**20, "MiB")
        size = sum(file.stat().st_size for file in out.rglob("events/**/*.parquet"))
        _print("export", "size of a record", size / EVENTS, "B")
        with _rate("archive to records"):
            records = _read(out, len)
        assert records >= EVENTS
        with _rate("archive to records, decoded"):
            _read(out, lambda batch: len(decode_batch(batch).turns))
        with _rate("log to tables in memory"):
            asyncio.run(_tables(bench))


async def _fill(bench: Bench) -> None:
    now = int(time.time() * 1000)
    publisher = Publisher(
        bootstrap_servers=bench.bootstrap_servers, topics=bench.topics, spool=None
    )
    await publisher.start()
    await publisher.publish_config(configured(config(arms=ARMS), at_ms=now))
    events = traffic(
        EVENTS // 2, random.Random(1), start_ms=now - EVENTS, arms=ARMS, request_types=REQUEST_TYPES
    )
    while chunk := list(itertools.islice(events, _CHUNK)):
        await publisher.publish(chunk)
    await publisher.stop()


class _Silent:
    def reading(self, done: int, total: int) -> None:
        """Nobody looks."""

    def joining(self, done: int, total: int) -> None:
        """Nobody looks."""


async def _export(bench: Bench, out: Path) -> None:
    done = await export(bench.bootstrap_servers, bench.topics, out, progress=_Silent())
    assert done.rows["joined"] == EVENTS // 2


def _read(out: Path, use: Callable[..., int]) -> int:
    archive = open_archive(out)
    return sum(use(batch) for partition in archive.ranges for batch in archive.batches(partition))


async def _tables(bench: Bench) -> None:
    history = await read_history(bench.bootstrap_servers, bench.topics)
    assert len(history.joined) == EVENTS // 2


@contextmanager
def _rate(case: str) -> Iterator[None]:
    start, cpu = time.monotonic(), time.process_time()
    yield
    _print(case, "throughput", EVENTS / (time.monotonic() - start), "events/s")
    _print(case, "processor time", (time.process_time() - cpu) / EVENTS * 1e6, "µs/event")


def _print(case: str, metric: str, value: float, unit: str) -> None:
    print_figure("history", f"{EVENTS} events, {case}", metric, value, unit)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
