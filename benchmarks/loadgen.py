"""A lean HTTP/1.1 load generator: keep-alive, no pipelining, closed or open loop.

Closed: each connection sends its next request when the previous answer is complete, so the rate is
what the server can take and never more. Open: requests are due at a fixed rate, whatever the server
does, and their latency counts from when they were due: a server that stalls is charged with every
request that had to wait for it, not with one a connection.

A client library would cost several times what the server does and measure itself; here a request is
bytes prepared by the caller and an answer is a status line, a `Content-Length` and that many bytes.
Answers of any other framing count as errors.

`python -m benchmarks.loadgen` prints the generator's own ceiling, with a server that does nothing.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import time
from array import array
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import uvloop
from numpy.typing import NDArray

# Unanswered this long after the end: a stall. It is counted as an error instead of waited for.
_GRACE_S = 5.0
# A server that restarts refuses connections for a moment; retrying at once would be a busy loop.
_RECONNECT_S = 0.05


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a run saw. `latencies_us` has one value per answer, whatever its status."""

    requests: int
    """Answers with a 2xx status."""
    errors: int
    """Answers with another status, broken connections, and requests left unsent or unanswered."""
    latencies_us: NDArray[np.float64]
    statuses: Mapping[int, int]
    seconds: float

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """Latency in milliseconds that `percent` % of the answers did not exceed; nan if none."""
        if not len(self.latencies_us):
            return float("nan")
        return float(np.percentile(self.latencies_us, percent)) / 1000.0


def http_request(
    method: str,
    path: str,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of one keep-alive request; `body` is sent as JSON unless it is None."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
    if body is not None:
        lines.append("Content-Type: application/json")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


async def run_load(
    host: str,
    port: int,
    requests: Callable[[int], bytes],
    connections: int,
    seconds: float,
    on_answer: Callable[[int, int, bytes], None] | None = None,
    per_s: float | None = None,
) -> LoadResult:
    """Send `requests(0)`, `requests(1)`, ... over `connections` connections for `seconds`.

    With `per_s` that many requests are due each second, else one whenever a connection is free.
    `on_answer(number, status, body)` is called for each answer, in the order of arrival. Broken
    connections are opened again. Raises OSError if no connection can be opened at the start.
    """
    run = _Run(requests, on_answer, closed_loop=per_s is None)
    loop = asyncio.get_running_loop()
    probe, _ = await loop.create_connection(asyncio.Protocol, host, port)
    probe.close()

    started = time.perf_counter()
    tasks = [asyncio.create_task(_keep_connected(run, host, port)) for _ in range(connections)]
    await (asyncio.sleep(seconds) if per_s is None else run.pace(per_s, seconds))
    run.end()
    _, late = await asyncio.wait(tasks, timeout=_GRACE_S)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    ok = sum(count for status, count in run.statuses.items() if 200 <= status < 300)
    return LoadResult(
        requests=ok,
        errors=run.broken + len(run.due_ns) + run.statuses.total() - ok,
        latencies_us=np.asarray(run.latencies_ns, dtype=np.float64) / 1000.0,
        statuses=dict(run.statuses),
        seconds=time.perf_counter() - started,
    )


class _Run:
    """What all connections of one run share."""

    def __init__(
        self,
        requests: Callable[[int], bytes],
        on_answer: Callable[[int, int, bytes], None] | None,
        *,
        closed_loop: bool,
    ) -> None:
        self.requests = requests
        self.on_answer = on_answer
        self.next_number = 0
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        self.latencies_ns = array("q")
        self.over = False
        self.due_ns: deque[int] = deque()  # open loop: requests that no connection was free for
        self.idle: deque[_Connection] = deque()  # open loop: free before a request was due
        self._closed_loop = closed_loop

    def free(self, connection: _Connection) -> None:
        """Give a free connection something to do."""
        if self.due_ns:
            connection.send(self.due_ns.popleft())
        elif self.over:
            connection.close()
        elif self._closed_loop:
            connection.send()
        else:
            self.idle.append(connection)

    async def pace(self, per_s: float, seconds: float) -> None:
        """Open loop: let requests become due, evenly, over the time given."""
        first_ns = time.perf_counter_ns()
        for number in range(int(per_s * seconds)):
            due_ns = first_ns + int(number / per_s * 1e9)
            early_s = (due_ns - time.perf_counter_ns()) / 1e9
            if early_s > 0:
                await asyncio.sleep(early_s)
            if self.idle:
                self.idle.popleft().send(due_ns)
            else:
                self.due_ns.append(due_ns)

    def end(self) -> None:
        """Nothing more becomes due; what is under way, or overdue, may still be answered."""
        self.over = True
        while self.idle:
            self.idle.popleft().close()


class _Connection(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._number = 0
        self._due_ns = 0
        self._waiting = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._run.free(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._waiting:
            self._run.broken += 1
        if self in self._run.idle:
            self._run.idle.remove(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            self._received = received
            return
        head = received[:head_end].lower()
        length_at = head.find(b"\r\ncontent-length:")
        if length_at < 0:
            self.abort()
            return
        value_at = length_at + len(b"\r\ncontent-length:")
        value_end = head.find(b"\r", value_at)
        length = int(head[value_at : value_end if value_end >= 0 else head_end])
        body_at = head_end + 4
        if len(received) < body_at + length:
            self._received = received
            return
        self._received = b""
        self._answered(int(head[9:12]), received[body_at : body_at + length])
        if b"\r\nconnection: close" in head:
            self.abort()
        else:
            self._run.free(self)

    def abort(self) -> None:
        """Close without waiting; a request under way counts as broken."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close while no request is under way."""
        assert self._transport is not None
        self._transport.close()

    def send(self, due_ns: int | None = None) -> None:
        """Send the next request; its latency counts from `due_ns`, or from now."""
        assert self._transport is not None
        run = self._run
        self._number = run.next_number
        run.next_number += 1
        request = run.requests(self._number)
        self._waiting = True
        self._due_ns = time.perf_counter_ns() if due_ns is None else due_ns
        self._transport.write(request)

    def _answered(self, status: int, body: bytes) -> None:
        run = self._run
        run.latencies_ns.append(time.perf_counter_ns() - self._due_ns)
        self._waiting = False
        run.statuses[status] += 1
        if run.on_answer is not None:
            run.on_answer(self._number, status, body)


async def _keep_connected(run: _Run, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    while not run.over:
        try:
            _, connection = await loop.create_connection(lambda: _Connection(run), host, port)
        except OSError:
            run.broken += 1
            await asyncio.sleep(_RECONNECT_S)
            continue
        try:
            await connection.closed
        finally:
            connection.abort()


class _NothingServer(asyncio.Protocol):
    """Answers every segment it receives: enough for requests that fit into one."""

    _ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:  # noqa: ARG002
        self._transport.write(self._ANSWER)


def _serve_nothing(listener: socket.socket) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        await (await loop.create_server(_NothingServer, sock=listener)).serve_forever()

    uvloop.run(serve())


def main() -> None:
    """Print the generator's ceiling as one JSON line."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(
        target=_serve_nothing, args=(listener,), daemon=True
    )
    server.start()
    request = http_request("POST", "/", {"messages": [{"role": "user", "content": "x" * 800}]})
    try:
        result = uvloop.run(
            run_load("127.0.0.1", listener.getsockname()[1], lambda _: request, 32, 3.0)
        )
    finally:
        server.terminate()
        server.join()
    line = {
        "question": "load generator ceiling",
        "requests_per_s": round(result.requests_per_s),
        "errors": result.errors,
        "p50_ms": round(result.percentile_ms(50), 3),
        "p99_ms": round(result.percentile_ms(99), 3),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
