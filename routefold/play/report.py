"""What a play has shown: the numbers, and their JSON form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from routefold.play.folding import Counts

INTERRUPTED: Final = "interrupted"  # the `problem` of a play that was cancelled
_FOR_PEOPLE_ONLY: Final = ("log", "router", "problem", "standings", "type_turns", "type_best")


@dataclass(frozen=True, slots=True)
class Events:
    """Turns and outcomes taken over by the router, and what became of them."""

    accepted: int
    folded: int
    duplicates: int
    late: int
    dead: int

    @classmethod
    def of(cls, accepted: int, counts: Counts) -> Events:
        return cls(accepted, counts.folded, counts.duplicates, counts.late, counts.dead)


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of success a turn: as played, and on the same turns without learning.

    `by_quarter`: the four quarters of the turns in the order of play. None: no turn played.
    """

    mean: float | None
    by_quarter: tuple[float | None, float | None, float | None, float | None]
    uniform: float | None
    best_single: float | None
    per_type_oracle: float | None

    @property
    def gap_closed(self) -> float | None:
        """How far the last quarter went from uniform choice (0) to the best single arm (1).

        Above 1: better than any single arm. None where the two are equal.
        """
        last = self.by_quarter[-1]
        if last is None or self.uniform is None or self.best_single is None:
            return None
        gap = self.best_single - self.uniform
        return (last - self.uniform) / gap if gap > 1e-9 else None


@dataclass(frozen=True, slots=True)
class Percentiles:
    p50: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One way to choose on these turns; `label` says which, `arm` the only one that it uses."""

    label: str
    arm: str | None
    reward: float
    utility: float
    usd_per_1000: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole report. `complete` is False when the play was cut short or not all was folded;
    `problem` then says why, and the numbers are about what was played."""

    turns: int
    events: Events
    reward: Measure
    utility: Measure
    cost_usd: float
    shares: Mapping[str, Mapping[str, float]]
    pick_latency_us: Percentiles
    freshness_ms: Percentiles
    state_digest: str | None
    seconds: float
    complete: bool
    log: str
    router: str
    problem: str | None
    standings: tuple[Standing, ...]
    type_turns: Mapping[str, int]
    type_best: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """The documented keys, ready for `json.dumps`; docs/play.md explains each."""
        return {key: value for key, value in asdict(self).items() if key not in _FOR_PEOPLE_ONLY}

    def write_json(self, path: Path) -> None:
        path.write_text(json.dumps(self.to_json(), indent=2, allow_nan=False) + "\n", "utf-8")
