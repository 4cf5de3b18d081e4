"""Kafka and PostgreSQL on this machine, as one thing with a start and a stop."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console

from routefold.stack.errors import PortTaken, StackError
from routefold.stack.fetch import choose_fetcher
from routefold.stack.jars import JarLock, cache_dir, ensure_jars
from routefold.stack.java import find_java
from routefold.stack.kafka import KafkaServer
from routefold.stack.ports import LOOPBACK, choose
from routefold.stack.postgres import PostgresServer, find_programs
from routefold.stack.server import STOP_TIMEOUT_S
from routefold.stack.state import Ports, StateDir

_NOT_STARTED = "the stack is not started: call start() first."


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the servers listen."""

    bootstrap_servers: str
    postgres_dsn: str = field(repr=False)  # holds the password


class LocalStack:
    """Both servers as children of this process, their data in `state_dir`.

    A context manager: starts on entry, stops on exit. Data and (when still free) ports survive a
    restart on the same directory; one stack runs on a directory at a time. When this process dies,
    however it dies, Linux ends the servers at once; elsewhere the next start does.

    `durable=False` lets PostgreSQL acknowledge before data is on disk: for tests only.
    `broker_overrides` are broker settings that win over `broker.SETTINGS`.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        durable: bool = True,
        console: Console | None = None,
        broker_overrides: Mapping[str, str] | None = None,
    ) -> None:
        self._path = state_dir
        self._durable = durable
        self._console = console
        self._broker_overrides = broker_overrides or {}
        self._state: StateDir | None = None
        self._kafka: KafkaServer | None = None
        self._postgres: PostgresServer | None = None

    @property
    def kafka(self) -> KafkaServer:
        """The broker, for `pid`, `is_running`, `kill()` and `restart()`."""
        if self._kafka is None:
            raise StackError(_NOT_STARTED)
        return self._kafka

    @property
    def postgres(self) -> PostgresServer:
        """The database server, for `pid`, `is_running`, `kill()` and `restart()`."""
        if self._postgres is None:
            raise StackError(_NOT_STARTED)
        return self._postgres

    @property
    def endpoints(self) -> Endpoints:
        """Where the servers listen. Raises StackError before `start`."""
        return Endpoints(f"{LOOPBACK}:{self.kafka.port}", self.postgres.dsn)

    def start(self) -> Endpoints:
        """Return when both servers answer; after any failure nothing is left running.

        The first start on a machine downloads Kafka. Raises the errors of `routefold.stack.errors`.
        """
        if self._state is not None:
            raise StackError(f"the stack on {self._path} is already started.")
        java = find_java(os.environ)
        programs = find_programs()
        self._state = StateDir.open(self._path)
        try:
            fetcher = partial(choose_fetcher, java)
            jars = ensure_jars(JarLock.read(), cache_dir(os.environ), fetcher, self._console)
            self._kafka = KafkaServer(self._state, java, jars, self._broker_overrides)
            self._postgres = PostgresServer(self._state, programs, durable=self._durable)
            return self._start_servers()
        except BaseException:
            self.stop()
            raise

    def _start_servers(self) -> Endpoints:
        for server in self._servers():
            server.stop_orphans()
        self._choose_ports()
        try:
            self._start_in_parallel()
        except PortTaken:  # by another program, between our look and the server's
            for server in self._servers():
                server.stop()
            self._choose_ports()
            self._start_in_parallel()
        return self.endpoints

    def _choose_ports(self) -> None:
        assert self._state is not None
        before = self._state.state.ports
        kafka = choose(before.kafka)
        controller = choose(before.kafka_controller, avoid={kafka})
        postgres = choose(before.postgres, avoid={kafka, controller})
        self._state.set_ports(Ports(kafka, controller, postgres))

    def _start_in_parallel(self) -> None:
        servers = self._servers()
        with ThreadPoolExecutor(len(servers)) as pool:
            starts = [pool.submit(server.start) for server in servers]
            try:
                for start in as_completed(starts):
                    start.result()
            except BaseException:
                for server in servers:
                    server.cancel()  # the pool waits for both before it lets the error through
                raise

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop both servers and let go of the directory. Idempotent.

        After `timeout_s` for both together, what still runs is killed; data written stays.
        """
        servers = self._servers()
        deadline = time.monotonic() + timeout_s
        for server in servers:
            server.request_stop()
        for server in servers:
            server.stop(max(0.0, deadline - time.monotonic()))
        self._kafka = self._postgres = None
        if self._state is not None:
            self._state.close()
            self._state = None

    def _servers(self) -> list[KafkaServer | PostgresServer]:
        return [server for server in (self._kafka, self._postgres) if server is not None]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
