"""The router as an HTTP server: uvicorn with uvloop and httptools, started and stopped in order."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
import uvloop
from prometheus_client import CollectorRegistry

from router_api.errors import RoutingError
from router_api.http.app import create_app
from router_api.service import RoutingService

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8080
# Longer than the 60 s after which common load balancers drop an idle connection. If the server
# dropped it first, a request just sent on it would be lost without an answer.
_KEEP_ALIVE_S: Final = 75
# A request waits for the broker or the spool, which takes seconds at most. A client that sends its
# body slower than this must not keep a deployment from going on.
_LAST_REQUESTS_S: Final = 5
# Connections that wait while a choice table is built; gateways open hundreds at once.
_BACKLOG: Final = 2048
_MAX_PORT: Final = 65_535


class CannotListen(RoutingError):
    """The address can't be bound."""


async def serve(
    service: RoutingService,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    registry: CollectorRegistry | None = None,
    stop: asyncio.Event | None = None,
    on_listening: Callable[[int], None] | None = None,
    stop_timeout_s: float = 5.0,
) -> None:
    """Serve the API in the running loop until `stop` is set.

    The server answers from the first moment ("not ready" at first) while `service` starts, and
    calls `on_listening` with its port, which the system chooses if `port` is 0. At the end it takes
    no more connections, answers what is under way, and only then stops `service`, which has
    `stop_timeout_s` to send or spool what it holds.

    Raises CannotListen, and whatever the service's start raises.
    """
    app = create_app(service, registry=registry)
    listener = _listen(host, port)
    server = _Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_LAST_REQUESTS_S,
        )
    )
    stop = stop or asyncio.Event()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    living = asyncio.create_task(_live(service, stop))
    try:
        if on_listening is not None:
            on_listening(listener.getsockname()[1])
        await asyncio.wait({serving, living}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        living.cancel()
        results = await asyncio.gather(serving, living, return_exceptions=True)
        await service.stop(stop_timeout_s)
    for result in results:
        if isinstance(result, Exception):
            raise result


def run(
    service: RoutingService,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    registry: CollectorRegistry | None = None,
    on_listening: Callable[[int], None] | None = None,
    stop_timeout_s: float = 5.0,
) -> None:
    """`serve` in a loop of its own, until SIGINT or SIGTERM."""

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(
            service,
            host=host,
            port=port,
            registry=registry,
            stop=stop,
            on_listening=on_listening,
            stop_timeout_s=stop_timeout_s,
        )

    uvloop.run(main())


class _Server(uvicorn.Server):
    """Leaves signals alone: uvicorn raises them again when it is done, which would end the process
    before the service has sent what it holds."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _live(service: RoutingService, stop: asyncio.Event) -> None:
    """Start the service; end when `stop` is set, even if that is before it has started."""
    starting = asyncio.create_task(service.start())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
        await stopping
    finally:
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= _MAX_PORT:
        raise CannotListen(f"can't listen on {host}:{port}: a port is 0 to {_MAX_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise CannotListen(
            f"can't listen on {host}:{port}: {error.strerror};"
            " choose another host or port, or stop what listens there"
        ) from error
