"""The load generator against a server in the same loop: what it counts, and what it times."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np

from benchmarks.loadgen import http_request, run_load

Answering = Callable[[int], Awaitable[int]]
HOST = "127.0.0.1"
SECONDS = 0.3
STALL_S = 0.2


@asynccontextmanager
async def serving(status_of: Answering) -> AsyncIterator[int]:
    """A server that answers request n, in the order of arrival, with the status awaited for it."""
    arrived = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                number, arrived = arrived, arrived + 1
                status = await status_of(number)
                writer.write(b"HTTP/1.1 %d .\r\nContent-Length: 2\r\n\r\nok" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def every_third_fails(number: int) -> int:
    return 500 if number % 3 == 0 else 200


async def stalls_once(number: int) -> int:
    if number == 0:
        await asyncio.sleep(STALL_S)
    return 200


def get(_: int) -> bytes:
    return http_request("GET", "/")


async def test_answers_are_counted_by_status() -> None:
    answers: list[tuple[int, int, bytes]] = []
    async with serving(every_third_fails) as port:
        result = await run_load(HOST, port, get, 2, SECONDS, lambda *answer: answers.append(answer))
    assert result.requests == result.statuses[200] > 0
    assert result.errors == result.statuses[500] > 0
    assert len(result.latencies_us) == len(answers) == result.requests + result.errors
    assert sorted(number for number, _, _ in answers) == list(range(len(answers)))
    assert {body for _, _, body in answers} == {b"ok"}


async def test_an_open_loop_sends_what_is_due_and_no_more() -> None:
    async with serving(stalls_once) as port:
        result = await run_load(HOST, port, get, 4, SECONDS, per_s=200)
    assert result.requests + result.errors == 200 * SECONDS
    assert result.errors == 0


async def test_a_stall_is_charged_to_every_request_that_was_due_meanwhile() -> None:
    async with serving(stalls_once) as port:
        closed = await run_load(HOST, port, get, 1, SECONDS)
    async with serving(stalls_once) as port:
        open_loop = await run_load(HOST, port, get, 1, SECONDS, per_s=200)
    half_us = STALL_S / 2 * 1e6
    # By the clock 40 were due while the only connection was busy: half of them waited half of it.
    assert np.sum(open_loop.latencies_us > half_us) >= 15
    assert np.sum(closed.latencies_us > half_us) < 15
