"""Factories of events, configurations and log records; a test states only what differs."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.codec import Event, encode
from schemas.events import Outcome, RouterConfigured, Turn
from schemas.router_config import RouterConfig

T0 = 1_760_000_000_000  # an arbitrary moment in 2025, milliseconds


@dataclass(frozen=True, slots=True)
class Record:
    """A log record as the consumer sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def uuid7(time_ms: int, rng: random.Random) -> bytes:
    """A UUIDv7 of a chosen time."""
    random_bits = rng.getrandbits(80)
    raw = bytearray(time_ms.to_bytes(6, "big") + random_bits.to_bytes(10, "big"))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return bytes(raw)


def config(
    router: str = "r",
    arms: Iterable[str] = ("a", "b"),
    deployments: Mapping[str, Sequence[str]] | None = None,
    **fields: Any,
) -> RouterConfig:
    places = deployments or {}
    listed = [{"name": arm, "deployments": places.get(arm, ())} for arm in arms]
    return RouterConfig.model_validate({"router": router, "arms": listed, **fields})


def configured(cfg: RouterConfig, version: int = 1, at_ms: int = T0) -> RouterConfigured:
    return RouterConfigured(
        router=cfg.router,
        version=version,
        config=cfg.model_dump_json(),
        occurred_at=at_ms,
        source="test",
    )


def turn(turn_id: bytes, **fields: Any) -> Turn:
    base: dict[str, Any] = {
        "session_id": None,
        "router": "r",
        "router_version": 1,
        "request_type": "general",
        "arm": "a",
        "eligible": ("a", "b"),
        "probability": 0.5,
        "snapshot_version": "-",
        "snapshot_age_ms": None,
        "occurred_at": int.from_bytes(turn_id[:6], "big"),
        "source": "test",
    }
    return Turn(turn_id=turn_id, **{**base, **fields})


def outcome(turn_id: bytes, outcome_id: bytes, **fields: Any) -> Outcome:
    base: dict[str, Any] = {
        "session_id": None,
        "router": "r",
        "request_type": "general",
        "arm": "a",
        "occurred_at": int.from_bytes(turn_id[:6], "big") + 100,
        "source": "test",
    }
    if not fields.keys() & {"status", "scores", "latency_ms", "tokens_in", "cost_usd"}:
        base["scores"] = {"quality": 1.0}
    return Outcome(turn_id=turn_id, outcome_id=outcome_id, **{**base, **fields})


def records(
    events: Iterable[Event], first_offset: int = 0, log_time_ms: int = T0 + 10**9
) -> list[Record]:
    return [
        Record(first_offset + i, log_time_ms, event.key, encode(event))
        for i, event in enumerate(events)
    ]


def traffic(
    count: int,
    rng: random.Random,
    *,
    start_ms: int = T0,
    step_ms: int = 1,
    router: str = "r",
    arms: tuple[str, ...] = ("a", "b"),
    request_types: tuple[str, ...] = ("general", "writing"),
) -> Iterator[Turn | Outcome]:
    """`count` turns, each followed by an outcome with a completion and a score."""
    for i in range(count):
        at = start_ms + i * step_ms
        turn_id = uuid7(at, rng)
        arm, kind = rng.choice(arms), rng.choice(request_types)
        session = f"s{rng.randrange(1 + count // 4)}" if i % 3 else None
        common = {"session_id": session, "router": router, "request_type": kind, "arm": arm}
        yield turn(turn_id, eligible=arms, **common)
        yield outcome(
            turn_id,
            uuid7(at + 50, rng),
            status="ok" if rng.random() < 0.95 else "error",
            latency_ms=rng.lognormvariate(6, 0.5),
            ttft_ms=rng.lognormvariate(5, 0.5),
            tokens_in=rng.randrange(10, 4000),
            tokens_out=rng.randrange(10, 1000),
            cost_usd=rng.random() / 100,
            scores={"quality": rng.random()},
            occurred_at=at + 50,
            **common,
        )
