"""API replicas and consumers as processes, on the servers of the test run."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from schemas.events import RouterConfigured
from schemas.topics import Topics
from tests.e2e.program import clean_environment, program
from tests.fixtures.pipeline import events_in_log, stored_evidence, table
from tests.fixtures.servers import Servers
from tests.oracle import Oracle

TIMEOUT_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Deployment:
    """Processes that share topics, a database and token keys. `close` stops all of them."""

    def __init__(self, servers: Servers, topics: Topics, database: str) -> None:
        self._servers = servers
        self._topics = topics
        self._database = database
        self._processes: list[subprocess.Popen[bytes]] = []
        self._environment = {
            **clean_environment(),
            "ROUTEFOLD_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
            "ROUTEFOLD_POSTGRES_DSN": database,
            "ROUTEFOLD_TOPIC_PREFIX": topics.prefix,
            "ROUTEFOLD_EVENT_PARTITIONS": str(topics.event_partitions),
            "ROUTEFOLD_TOKEN_KEYS": os.urandom(16).hex(),
        }

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(program(*arguments), env=self._environment)
        self._processes.append(process)
        return process

    def consumer(self) -> subprocess.Popen[bytes]:
        return self.start("consume")

    def api(self) -> str:
        """The URL of one more replica, once it is ready."""
        port = free_port()
        self.start("serve", "--port", str(port))
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(url + "/readyz"))
        return url

    def run(self, *arguments: str) -> Any:
        """A command to its successful end; the JSON it printed."""
        done = subprocess.run(
            program(*arguments), env=self._environment, capture_output=True, timeout=150
        )
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            process.wait(15)

    def folded(self) -> int:
        query = "SELECT coalesce(sum(folded + duplicates + late), 0) FROM partition_progress"
        return int(str(table(self._database, query)[0][0]))

    def assert_evidence_equals_the_log(self) -> None:
        """The database against a count made by hand from the topic, partition by partition."""
        log = asyncio.run(events_in_log(self._servers.bootstrap_servers, self._topics))
        counted: dict[tuple[Any, ...], list[int]] = {}
        for partition, events in log.items():
            for key, sums in Oracle().fold(events).rows.items():
                counted[(partition, *key)] = sums
        stored = stored_evidence(self._database)
        assert {(*key[:6], key[7]): list(sums) for key, sums in stored.items()} == counted
        assert sum(not isinstance(e, RouterConfigured) for p in log.values() for e in p) > 0


def call(url: str, body: object | None = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)
