"""Factories of snapshots and of the states made of them; a test states only what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from router_api.routing.state import RouterState
from schemas.evidence import SeriesKey, Sums, era, weight
from schemas.metrics import SCORE_ONE
from schemas.snapshot import Snapshot

AS_OF_MS = 1_760_000_000_000


def observed(
    arm: str,
    values: Iterable[float],
    *,
    metric: str = "quality",
    half_life_ms: int = 0,
    at_ms: int = AS_OF_MS,
    pace: Any = "slow",
) -> dict[SeriesKey, Sums]:
    """The row of an arm whose metric had these values, in 0..1, all at one time."""
    fixed = [round(value * SCORE_ONE) for value in values]
    unit = weight(at_ms, half_life_ms)
    key = SeriesKey(arm, metric, pace, half_life_ms, era(at_ms, half_life_ms))
    return {key: Sums(len(fixed) * unit, sum(fixed) * unit, sum(x * x for x in fixed) * unit)}


def snapshot(
    evidence: Mapping[SeriesKey, Sums] | None = None, *, source_offset: int = 1, **fields: Any
) -> Snapshot:
    base: dict[str, Any] = {
        "router": "r",
        "request_type": "general",
        "partition": 0,
        "epoch": 1,
        "as_of_ms": AS_OF_MS,
        "folded": 1,
        "duplicates": 0,
        "late": 0,
        "seen_ms": {},
    }
    return Snapshot(evidence=evidence or {}, source_offset=source_offset, **{**base, **fields})


def state_of(*snapshots: Snapshot, applied_at_ms: int = AS_OF_MS) -> RouterState:
    """A state, of four partitions, to which the snapshots were applied, in order."""
    state = RouterState(4)
    for each in snapshots:
        state.apply(each, applied_at_ms)
    return state
