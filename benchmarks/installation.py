"""A whole installation on this machine: servers, one consumer, one API process, and one router."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import psutil

from benchmarks.gateway import ROUTER, router_config
from benchmarks.servers import Bench, bench_servers
from producer.client import RoutefoldClient
from routefold.stack import ports

_START_S: Final = 30.0
_STILL_STARTING_S: Final = 0.1


@dataclass(frozen=True)
class Installation:
    """Where the API is, and the processes to watch."""

    bench: Bench
    port: int
    api: psutil.Process
    consumer: psutil.Process

    def state(self) -> dict[str, Any]:
        """What the API says about the router."""

        async def ask() -> dict[str, Any]:
            async with RoutefoldClient(_url(self.port)) as client:
                return await client.state(ROUTER)

        return asyncio.run(ask())


@contextmanager
def installation() -> Iterator[Installation]:
    """An installation that is ready, with its router configured.

    Raises RuntimeError when a process ends or is not ready within _START_S.
    """
    port = ports.choose(None)
    with (
        bench_servers() as bench,
        bench.routefold("consume") as consumer,
        bench.routefold("serve", "--port", str(port)) as api,
    ):
        asyncio.run(_configure(port, api, consumer))
        yield Installation(bench, port, psutil.Process(api.pid), psutil.Process(consumer.pid))


def run_seconds(default: float) -> float:
    """How long to measure: BENCH_SECONDS where it is set."""
    return float(os.environ.get("BENCH_SECONDS", default))


async def _configure(port: int, *processes: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_S
    async with RoutefoldClient(_url(port)) as client:
        while not await client.ready():
            for process in processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the API is not ready after {_START_S:g} s")
            await asyncio.sleep(_STILL_STARTING_S)
        await client.put_router(router_config())


def _url(port: int) -> str:
    return f"http://{ports.LOOPBACK}:{port}"
