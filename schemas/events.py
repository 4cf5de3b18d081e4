"""The events, as values. Immutable; field meanings and units are in the Avro files.

Times are integers: milliseconds since 1970, UTC. Ids are 16 raw bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["live", "observe", "bypass"]
Status = Literal["none", "ok", "error", "timeout", "cancelled"]
Switch = Literal["promote", "rollback"]


def uuid7_time_ms(turn_id: bytes) -> int:
    """Milliseconds since 1970 held in the first 48 bits of a UUIDv7 (RFC 9562, section 5.7)."""
    return int.from_bytes(turn_id[:6], "big")


def is_uuid7(value: bytes) -> bool:
    """True for 16 bytes with version 7 and the RFC 9562 variant."""
    return len(value) == 16 and value[6] >> 4 == 7 and value[8] >> 6 == 0b10


def partition_key(session_id: str | None, turn_id: bytes) -> bytes:
    """The Kafka key of every event about a turn, so that a session lives in one partition."""
    return session_id.encode() if session_id is not None else turn_id.hex().encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One request of a session, answered by one arm."""

    turn_id: bytes
    session_id: str | None
    router: str
    router_version: int
    request_type: str
    arm: str
    arm_served: str | None = None
    eligible: tuple[str, ...]
    probability: float
    snapshot_version: str
    snapshot_age_ms: int | None
    mode: Mode = "live"
    previous_turn_id: bytes | None = None
    reaction: tuple[str, ...] = ()
    occurred_at: int
    source: str

    @property
    def key(self) -> bytes:
        return partition_key(self.session_id, self.turn_id)

    @property
    def event_id(self) -> bytes:
        return self.turn_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Anything learned about a turn after it was routed."""

    outcome_id: bytes
    turn_id: bytes
    session_id: str | None
    router: str
    request_type: str
    arm: str
    arm_served: str | None = None
    status: Status = "none"
    status_code: int | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    signals: tuple[str, ...] = ()
    voids: bytes | None = None
    occurred_at: int
    source: str

    @property
    def key(self) -> bytes:
        return partition_key(self.session_id, self.turn_id)

    @property
    def event_id(self) -> bytes:
        return self.outcome_id


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterConfigured:
    """A router's whole configuration, as JSON text."""

    router: str
    version: int
    config: str
    occurred_at: int
    source: str

    @property
    def key(self) -> bytes:
        return self.router.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationPromoted:
    """The live state was replaced by another fold of the same log. Offsets are by partition.

    Written to every partition, so that whoever reads any of them sees it.
    """

    generation: int
    command: Switch
    name: str
    settings: str
    starts: Mapping[int, int] = field(default_factory=dict)
    offsets: Mapping[int, int] = field(default_factory=dict)
    occurred_at: int
    source: str

    @property
    def key(self) -> bytes:
        return f"/generation/{self.generation}".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one events partition has been folded, with its counts since the topic's beginning.

    Published behind all shares of its partition: who has read it has read those of its generation.
    """

    partition: int
    generation: int = 0
    epoch: int
    next_offset: int
    folded: int
    duplicates: int
    late: int
    dead: int
    stream_time_ms: int

    @property
    def key(self) -> bytes:
        # A router name never holds a slash, so no snapshot can have this key.
        return f"/progress/{self.partition}".encode()
