"""A log in memory: the real RoutingService, with nothing but Kafka taken away.

What is published is encoded as for Kafka, and a configuration comes into force by being read back.
The test decides what the log does: `takes_events`, `is_read`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from prometheus_client import CollectorRegistry

from producer.batching import to_message
from producer.delivery import Position
from producer.errors import PublishFailed
from producer.publisher import PublisherStats
from router_api import service as service_module
from router_api.directory import Directory
from router_api.intake import BadRecords
from router_api.service import RoutingService
from router_api.tokens import TurnTokens
from schemas.events import Outcome, RouterConfigured, Turn
from schemas.topics import Topics

KEY = "k" * 32
CONFIG: dict[str, Any] = {
    "arms": [
        {"name": "cheap", "tier": 1},
        {"name": "good", "tier": 2},
        {"name": "best", "tier": 3},
    ],
    "rewards": {"quality": 1.0, "error": 1.0},
}

# Picks from the router "main" with a body of these fields; returns the answer's JSON.
Picking = Callable[..., Awaitable[dict[str, Any]]]
E = TypeVar("E", Turn, Outcome, RouterConfigured)


@dataclass
class Log:
    """What has been published, and how the log behaves: a gate holds up what is behind it."""

    takes_events: bool = True
    is_read: bool = True
    events: list[Turn | Outcome | RouterConfigured] = field(default_factory=list)
    traceparents: list[str | None] = field(default_factory=list)
    directory: Directory = field(default_factory=Directory)
    stopped_with: list[float] = field(default_factory=list)
    start_gate: asyncio.Event | None = None
    publish_gate: asyncio.Event | None = None
    start_error: Exception | None = None

    def of(self, kind: type[E]) -> list[E]:
        """The published events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def append(self, event: Turn | Outcome | RouterConfigured, trace: str | None = None) -> None:
        """Publish; raises what encoding raises."""
        to_message(event, trace)
        self.events.append(event)
        self.traceparents.append(trace)


class _Publisher:
    def __init__(self, log: Log) -> None:
        self._log = log

    async def start(self) -> None:
        if self._log.start_gate is not None:
            await self._log.start_gate.wait()
        if self._log.start_error is not None:
            raise self._log.start_error

    async def stop(self, timeout_s: float = 5.0) -> None:
        self._log.stopped_with.append(timeout_s)

    def publish_nowait(self, event: Turn, traceparent: str | None = None) -> bool:
        self._log.append(event, traceparent)
        return True

    async def publish(self, events: Sequence[Outcome]) -> list[Position | None]:
        if self._log.publish_gate is not None:
            await self._log.publish_gate.wait()
        self._require_log()
        for event in events:
            to_message(event)
        for event in events:
            self._log.append(event)
        return [None] * len(events)

    async def publish_config(self, event: RouterConfigured) -> None:
        self._require_log()
        self._log.append(event)
        self._log.directory.apply_config(event)

    @property
    def stats(self) -> PublisherStats:
        return PublisherStats(len(self._log.events), 0, 0, 0, 0, 0, 0, 0, online=True)

    def _require_log(self) -> None:
        if not self._log.takes_events:
            raise PublishFailed("the broker does not answer, and there is no spool")


class _Subscriber:
    def __init__(self, log: Log) -> None:
        self._log = log
        self.bad_records = BadRecords()
        self.connected = True

    @property
    def directory(self) -> Directory:
        return self._log.directory

    @property
    def ready(self) -> bool:
        return self._log.is_read

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def wait_for(self, condition: Callable[[], bool], _timeout_s: float) -> bool:
        return condition()


def loopback_service(
    monkeypatch: pytest.MonkeyPatch, log: Log, key: str = KEY, **options: Any
) -> RoutingService:
    """A service on `log`. `key` is the installation's token key."""
    monkeypatch.setattr(service_module, "Publisher", lambda **_: _Publisher(log))
    monkeypatch.setattr(service_module, "Subscriber", lambda **_: _Subscriber(log))
    return RoutingService(
        bootstrap_servers="in memory",
        topics=Topics(),
        tokens=TurnTokens([key]),
        source="test",
        registry=CollectorRegistry(),
        **options,
    )
