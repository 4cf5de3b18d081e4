"""The servers an installation needs: given ones are used as they are, the others are started."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pydantic import SecretStr
from rich.console import Console

from routefold.settings import Settings
from routefold.stack import LocalStack, wipe
from routefold.stack.fetch import choose_fetcher
from routefold.stack.jars import JarLock, cache_dir, ensure_jars
from routefold.stack.java import find_java
from routefold.stack.kafka import KafkaServer
from routefold.stack.ports import LOOPBACK, choose
from routefold.stack.postgres import ROLE, PostgresServer, find_programs
from routefold.stack.state import Ports, StateDir
from routefold.threads import in_daemon_thread

# With the children's five seconds before it, the whole stays below ten.
STOP_TIMEOUT_S: Final = 4.0


@dataclass(frozen=True, slots=True)
class Servers:
    """Where Kafka and Postgres are, and where the local Postgres' password is kept."""

    bootstrap_servers: str
    postgres_dsn: SecretStr
    password_file: Path | None


@asynccontextmanager
async def servers(settings: Settings, *, fresh: bool, console: Console) -> AsyncIterator[Servers]:
    """Both servers, running, until the block ends. The state directory is ours for that time.

    Raises the errors of routefold.stack.errors. When cancelled while they start, they are stopped.
    """
    dsn = settings.find_postgres_dsn()
    if fresh:
        await in_daemon_thread(partial(wipe, settings.state_dir))
    stack = _stack_for(settings, dsn, console)
    try:
        yield await in_daemon_thread(stack.start)
    finally:
        await in_daemon_thread(stack.stop)


def _stack_for(
    settings: Settings, dsn: SecretStr | None, console: Console
) -> _Both | _Given | _KafkaOnly | _PostgresOnly:
    path, kafka = settings.state_dir, settings.bootstrap_servers
    if kafka is None and dsn is None:
        return _Both(path, console)
    if kafka is not None and dsn is not None:
        return _Given(path, Servers(kafka, dsn, None))
    if kafka is None:
        assert dsn is not None
        return _KafkaOnly(path, dsn, console)
    return _PostgresOnly(path, kafka)


class _Both:
    def __init__(self, path: Path, console: Console) -> None:
        self._path = path
        self._stack = LocalStack(path, console=console)

    def start(self) -> Servers:
        found = self._stack.start()
        return Servers(
            found.bootstrap_servers, SecretStr(found.postgres_dsn), _password_file(self._path)
        )

    def stop(self) -> None:
        self._stack.stop(STOP_TIMEOUT_S)


class _Given:
    """Nothing to start; the directory still holds the token keys, the spool and the logs."""

    def __init__(self, path: Path, given: Servers) -> None:
        self._path = path
        self._servers = given
        self._state: StateDir | None = None

    def start(self) -> Servers:
        self._state = StateDir.open(self._path)
        return self._servers

    def stop(self) -> None:
        if self._state is not None:
            self._state.close()


class _KafkaOnly:
    def __init__(self, path: Path, dsn: SecretStr, console: Console) -> None:
        self._path = path
        self._dsn = dsn
        self._console = console
        self._state: StateDir | None = None
        self._server: KafkaServer | None = None

    def start(self) -> Servers:
        java = find_java(os.environ)
        self._state = StateDir.open(self._path)
        fetcher = partial(choose_fetcher, java)
        jars = ensure_jars(JarLock.read(), cache_dir(os.environ), fetcher, self._console)
        self._server = KafkaServer(self._state, java, jars, {})
        self._server.stop_orphans()
        before = self._state.state.ports
        port = choose(before.kafka)
        controller = choose(before.kafka_controller, avoid={port})
        self._state.set_ports(Ports(port, controller, before.postgres))
        self._server.start()
        return Servers(f"{LOOPBACK}:{port}", self._dsn, None)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(STOP_TIMEOUT_S)
        if self._state is not None:
            self._state.close()


class _PostgresOnly:
    def __init__(self, path: Path, bootstrap_servers: str) -> None:
        self._path = path
        self._bootstrap_servers = bootstrap_servers
        self._state: StateDir | None = None
        self._server: PostgresServer | None = None

    def start(self) -> Servers:
        programs = find_programs()
        self._state = StateDir.open(self._path)
        self._server = PostgresServer(self._state, programs, durable=True)
        self._server.stop_orphans()
        before = self._state.state.ports
        port = choose(before.postgres)
        self._state.set_ports(Ports(before.kafka, before.kafka_controller, port))
        self._server.start()
        return Servers(
            self._bootstrap_servers, SecretStr(self._server.dsn), _password_file(self._path)
        )

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop(STOP_TIMEOUT_S)
        if self._state is not None:
            self._state.close()


def _password_file(state_dir: Path) -> Path:
    return state_dir.absolute() / "secrets" / f"postgres-{ROLE}.password"
