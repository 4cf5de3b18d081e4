"""Does memory stay where it is while turns go through?

CONNECTIONS connections send picks, and their outcomes in batches of 50, as fast as they are
answered (closed loop), for 60 s or BENCH_SECONDS. The resident sets of the API process and of the
consumer are sampled all the while:

- start: ready, before the first pick.
- median, after the first fifth of the run: pools, caches of fixed size and the allocator's arenas
  fill up before.
- largest departure from that median, in percent of it: small means that nothing is kept per turn.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import Final

import psutil
import uvloop

from benchmarks.gateway import Gateway
from benchmarks.installation import installation, run_seconds
from benchmarks.loadgen import LoadResult, run_load
from benchmarks.report import print_figure
from routefold.stack.ports import LOOPBACK

CONNECTIONS: Final = 16
BATCH: Final = 50
SECONDS: Final = 60.0
_WARM_UP_SHARE: Final = 0.2
_SAMPLE_S: Final = 0.2
_MIB: Final = 2**20


def run() -> None:
    seconds = run_seconds(SECONDS)
    case = f"{seconds:g} s of turns"
    gateway = Gateway(random.Random(1), batch=BATCH)
    with installation() as installed:
        processes = {"API": installed.api, "consumer": installed.consumer}
        result, samples = uvloop.run(_run(installed.port, gateway, seconds, processes))
    print_figure("memory", case, "turns", gateway.picks / result.seconds, "turns/s")
    print_figure("memory", case, "errors", result.errors, "requests")
    for name, taken in samples.items():
        steady = taken[int(len(taken) * _WARM_UP_SHARE) :]
        median = statistics.median(steady)
        departure = max(abs(each - median) for each in steady) / median
        print_figure("memory", case, f"{name}, start", taken[0] / _MIB, "MiB")
        print_figure("memory", case, f"{name}, median", median / _MIB, "MiB")
        print_figure("memory", case, f"{name}, largest departure", departure * 100, "%")


async def _run(
    port: int, gateway: Gateway, seconds: float, processes: Mapping[str, psutil.Process]
) -> tuple[LoadResult, Mapping[str, Sequence[int]]]:
    """The load's result, and the resident bytes of each process, the first before it began."""
    samples: dict[str, list[int]] = {name: [] for name in processes}

    def take() -> None:
        for name, process in processes.items():
            samples[name].append(process.memory_info().rss)

    async def watch() -> None:
        while True:
            take()
            await asyncio.sleep(_SAMPLE_S)

    take()
    watching = asyncio.create_task(watch())
    try:
        result = await run_load(
            LOOPBACK, port, gateway.request, CONNECTIONS, seconds, gateway.answered
        )
    finally:
        watching.cancel()
    return result, samples
