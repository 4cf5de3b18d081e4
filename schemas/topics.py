"""The topics, with explicit configuration: nothing is left to a broker's defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

DEFAULT_EVENT_PARTITIONS: Final = 4

_KEPT_FOR_EVER: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "compression.type": "producer",
    # The broker stamps each record, so that a fold can refuse times from the future without a clock
    # of its own, and a replay sees the same stamps.
    "message.timestamp.type": "LogAppendTime",
}
_COMPACTED: Final = {
    "cleanup.policy": "compact",
    "compression.type": "producer",
    # Roll and clean often: a new router reads the whole topic before it is ready.
    "segment.ms": "600000",
    "min.cleanable.dirty.ratio": "0.1",
    "delete.retention.ms": "86400000",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic's name, and the partitions and settings it is created with."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Topics:
    """The three topics under one prefix, so that several installations can share a cluster.

    The number of event partitions is fixed for the life of the topic: a session's events are in
    one partition by the hash of its key, and adding partitions would move it.
    """

    prefix: str = "routefold"
    event_partitions: int = DEFAULT_EVENT_PARTITIONS

    @property
    def events(self) -> str:
        return f"{self.prefix}.events"

    @property
    def routers(self) -> str:
        return f"{self.prefix}.routers"

    @property
    def snapshots(self) -> str:
        return f"{self.prefix}.snapshots"

    @property
    def all(self) -> tuple[Topic, Topic, Topic]:
        """Every topic with its configuration, for creation and for checks."""
        return (
            Topic(self.events, self.event_partitions, MappingProxyType(_KEPT_FOR_EVER)),
            Topic(self.routers, 1, MappingProxyType(_COMPACTED)),
            Topic(self.snapshots, 1, MappingProxyType(_COMPACTED)),
        )
