"""Servers and our own processes for a benchmark: fsync on, one fresh state directory, all stopped
at the end."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from consumer.migrate import migrate
from routefold.stack.stack import LocalStack
from routefold.topics_admin import ensure_topics
from schemas.topics import Topics


@dataclass(frozen=True)
class Bench:
    """Where everything is."""

    bootstrap_servers: str
    postgres_dsn: str
    topics: Topics
    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "ROUTEFOLD_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "ROUTEFOLD_POSTGRES_DSN": self.postgres_dsn,
            "ROUTEFOLD_TOKEN_KEYS": secrets.token_hex(16),
            "ROUTEFOLD_LOG_LEVEL": "warning",
            "ROUTEFOLD_SPOOL_PATH": str(self.directory / "spool.sqlite"),
        }

    @contextmanager
    def routefold(self, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A `routefold` command running while the block does."""
        command = [sys.executable, "-m", "routefold", *arguments]
        process = subprocess.Popen(command, env=self.environment)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(15)


@contextmanager
def bench_servers() -> Iterator[Bench]:
    """Fresh Kafka and Postgres with topics and tables."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        directory = Path(name)
        with LocalStack(directory / "state") as stack:
            at = stack.endpoints
            topics = Topics()
            asyncio.run(ensure_topics(at.bootstrap_servers, topics))
            migrate(at.postgres_dsn)
            yield Bench(at.bootstrap_servers, at.postgres_dsn, topics, directory)
