"""A whole installation as one thing with a start and a stop: servers, topics, tables, and the
consumer and the API as child processes. What `up` holds open, and `play` and `demo` for their time.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
from rich.console import Console

from routefold import endpoints
from routefold.database import without_password
from routefold.endpoints import Endpoints
from routefold.errors import Failure
from routefold.preparation import prepare
from routefold.servers import Servers, servers
from routefold.settings import PREFIX, Settings
from routefold.stack.ports import choose
from routefold.supervisor import Supervisor
from routefold.token_keys import ensure_key_file

# Two Python processes importing numpy and polars on a loaded machine; then something is wrong.
READY_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.1
_SECRETS: Final = ("POSTGRES_DSN", "POSTGRES_DSN_FILE", "TOKEN_KEYS", "TOKEN_KEYS_FILE")
_ANY_ADDRESS: Final = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared with, never bound


@dataclass(frozen=True, slots=True)
class Installation:
    """A running installation."""

    endpoints: Endpoints
    servers: Servers
    supervisor: Supervisor


@asynccontextmanager
async def installation(
    settings: Settings,
    *,
    fresh: bool,
    console: Console,
    say: Callable[[str], None],
    with_api: bool = True,
) -> AsyncIterator[Installation]:
    """Everything running and ready, until the block ends; then everything stopped, within 10 s.

    `settings.port` 0 is a free one. `with_api` False leaves the API out, for a router in this very
    process. Raises Failure, the errors of routefold.stack, ChildDied when a child ends on the way.
    """
    port = _api_port(settings) if with_api else 0
    async with servers(settings, fresh=fresh, console=console) as running:
        say("Kafka and Postgres are up; preparing topics and tables")
        await prepare(running.bootstrap_servers, running.postgres_dsn, settings.topics)
        logs = settings.state_dir.absolute() / "logs"
        metrics_port = settings.metrics_port or choose(None, avoid={port})
        supervisor = Supervisor(logs)
        try:
            found = Endpoints(
                pid=os.getpid(),
                api_url=f"http://{_reachable_host(settings.host)}:{port}" if with_api else "",
                consumer_metrics_url=f"http://127.0.0.1:{metrics_port}/metrics",
                bootstrap_servers=running.bootstrap_servers,
                postgres=without_password(running.postgres_dsn),
                password_file=str(running.password_file) if running.password_file else None,
            )
            _start_consumer(supervisor, settings, running, metrics_port)
            if with_api:
                _start_api(supervisor, settings, running, port)
            say("waiting for the consumer" + (" and the API" if with_api else ""))
            await _until_ready(supervisor, found)
            if with_api:
                endpoints.write(settings.state_dir, found)
            yield Installation(found, running, supervisor)
        finally:
            endpoints.remove(settings.state_dir)
            await supervisor.stop()


def _start_consumer(
    supervisor: Supervisor, settings: Settings, running: Servers, metrics_port: int
) -> None:
    own = {
        "BOOTSTRAP_SERVERS": running.bootstrap_servers,
        "POSTGRES_DSN": running.postgres_dsn.get_secret_value(),
        "METRICS_PORT": str(metrics_port),
    }
    supervisor.start("consume", ["consume"], _environment(settings, own))


def _start_api(supervisor: Supervisor, settings: Settings, running: Servers, port: int) -> None:
    state_dir = settings.state_dir.absolute()
    own = {
        "BOOTSTRAP_SERVERS": running.bootstrap_servers,
        "SPOOL_PATH": str(settings.spool_path or state_dir / "spool.sqlite3"),
        "HOST": settings.host,
        "PORT": str(port),
    }
    if settings.token_keys is not None:
        own["TOKEN_KEYS"] = settings.token_keys.get_secret_value()
    else:
        own["TOKEN_KEYS_FILE"] = str(settings.token_keys_file or ensure_key_file(state_dir))
    supervisor.start("serve", ["serve"], _environment(settings, own))


def _environment(settings: Settings, own: Mapping[str, str]) -> dict[str, str]:
    """The environment of one child: what it needs, and no secret that is another's."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if name.removeprefix(PREFIX) not in _SECRETS or not name.startswith(PREFIX)
    }
    common: dict[str, str] = {
        "TOPIC_PREFIX": settings.topic_prefix,
        "EVENT_PARTITIONS": str(settings.event_partitions),
        "GROUP_ID": settings.consumer_group,
        "STATE_DIR": str(settings.state_dir.absolute()),
        "LOG_LEVEL": settings.log_level,
        "LOG_FORMAT": settings.log_format,
    }
    return inherited | {f"{PREFIX}{name}": value for name, value in {**common, **own}.items()}


async def _until_ready(supervisor: Supervisor, found: Endpoints) -> None:
    wanted = [found.consumer_metrics_url]
    if found.api_url:
        wanted.append(f"{found.api_url}/readyz")
    try:
        async with asyncio.timeout(READY_TIMEOUT_S), aiohttp.ClientSession() as session:
            for url in wanted:
                while not await _answers(session, url):
                    supervisor.check()
                    await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise Failure(f"{url} is not ready after {READY_TIMEOUT_S:.0f} s; see the logs") from None


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2.0)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _api_port(settings: Settings) -> int:
    """The port to give the API. Raises Failure when it is taken, before anything is started."""
    if settings.port == 0:
        return choose(None)
    require_free(settings.host, settings.port)
    return settings.port


def require_free(host: str, port: int) -> None:
    """Raises Failure, with the next step, unless one can listen on the address."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise Failure(
            f"can't listen on {host}:{port} ({error.strerror or error}): "
            "choose another port with --port, or --port 0 for a free one"
        ) from None


def _reachable_host(host: str) -> str:
    """A host that a client on this machine can use for what listens on `host`."""
    if host in _ANY_ADDRESS:
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
