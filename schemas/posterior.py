"""Posterior = prior + reward-weighted evidence. The SQL view `posteriors` mirrors it.

    alpha = alpha0 + c · Σ_m r_m · S_m        beta = beta0 + c · Σ_m r_m · (N_m − S_m)

with N_m the effective number of observations of metric m, S_m their sum in 0..N_m, r_m ≥ 0 the
reward weights, and c ≤ 1 the factor that keeps the evidence below a maximum mass. Both shapes are
at least the prior's, so they are positive for any evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Final

from schemas.evidence import (
    NOTHING,
    Effective,
    Evidence,
    Pace,
    Sums,
    read_at,
    reading_ms,
    remaining,
)
from schemas.metrics import SCORE_ONE

# Drift is called when the fast evidence departs from all older evidence by more than chance: three
# standard errors (1 in 370 by chance), and not on fewer than five fast observations.
DRIFT_STANDARD_ERRORS: Final = 3.0
DRIFT_MIN_OBSERVATIONS: Final = 5.0


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """Shapes of a Beta prior, both > 0."""

    alpha: float
    beta: float

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and self.beta > 0):
            raise ValueError(f"prior shapes must be > 0, got {self.alpha}, {self.beta}")


@dataclass(frozen=True, slots=True)
class BetaPosterior:
    """Shapes of a Beta posterior, and the reward-weighted observations it rests on (uncapped)."""

    alpha: float
    beta: float
    observations: float

    @property
    def mean(self) -> float:
        return self.alpha / (self.alpha + self.beta)


@dataclass(frozen=True, slots=True)
class MetricEvidence:
    """One metric of an arm, at both paces (`fast` is empty where not kept), read at the time of the
    arm's latest turn, so that what it showed last does not fade against what it showed before.

    `slow_left` and `fast_left` are what is left of each since then, while others were used: 1 for
    an arm that was just used. Both fade at the slow pace; where that forgets nothing, the fast one
    at its own. `recent` is the number of fast observations, read now.
    """

    slow: Effective
    fast: Effective
    slow_left: float = 1.0
    fast_left: float = 1.0
    recent: float = 0.0

    @property
    def drifted(self) -> bool:
        """True where the fast evidence contradicts what is older, beyond chance."""
        rest_n = self.slow.n - self.fast.n
        if self.fast.n < DRIFT_MIN_OBSERVATIONS or rest_n < 1.0:
            return False
        mean = self.slow.s1 / self.slow.n
        variance = max(self.slow.s2 / self.slow.n - mean * mean, 0.0)
        error = sqrt(variance * (1.0 / self.fast.n + 1.0 / rest_n))
        difference = self.fast.s1 / self.fast.n - (self.slow.s1 - self.fast.s1) / rest_n
        return abs(difference) > DRIFT_STANDARD_ERRORS * error and error > 0.0

    @property
    def ruling(self) -> Effective:
        """The evidence to believe: the slow, unless what came last contradicts it. An arm that is
        not used any more because of it is less and less known, and so tried again."""
        if self.drifted:
            return self.fast.scaled(self.fast_left)
        return self.slow.scaled(self.slow_left)


def metrics_at(
    evidence: Evidence, as_of_ms: int, seen_ms: Mapping[str, int]
) -> dict[str, dict[str, MetricEvidence]]:
    """{arm: {metric: evidence}} from the rows of one (router, request type), as of `as_of_ms`.

    Each is read at its `reading_ms`, and no row is from a later era.
    """
    rows: dict[tuple[str, str], dict[tuple[Pace, int], dict[int, Sums]]] = {}
    for key, sums in evidence.items():
        paces = rows.setdefault((key.arm, key.metric), {})
        paces.setdefault((key.pace, key.half_life_ms), {})[key.era] = sums
    read: dict[str, dict[str, MetricEvidence]] = {}
    for (arm, metric), paces in rows.items():
        at_ms = reading_ms(arm, metric, as_of_ms, seen_ms)
        found: dict[Pace, Effective] = {}
        half_lives: dict[Pace, int] = {}
        for (pace, half_life_ms), by_era in paces.items():
            found[pace] = read_at(by_era, half_life_ms, at_ms)
            half_lives[pace] = half_life_ms
        idle_ms = as_of_ms - at_ms
        slow_left = remaining(idle_ms, half_lives.get("slow", 0))
        fast_now = remaining(idle_ms, half_lives.get("fast", 0))
        fast = found.get("fast", NOTHING)
        read.setdefault(arm, {})[metric] = MetricEvidence(
            slow=found.get("slow", NOTHING),
            fast=fast,
            slow_left=slow_left,
            fast_left=slow_left if half_lives.get("slow") else fast_now,
            recent=fast.n * fast_now,
        )
    return read


def beta_posterior(
    prior: BetaPrior,
    rewards: Iterable[tuple[float, Effective]],
    max_mass: float,
) -> BetaPosterior:
    """Posterior of one cell from (reward weight, evidence of a 0..1 metric) pairs.

    `max_mass` > 0 bounds the evidence by scaling, so that a cell with any history still moves.
    """
    successes = total = 0.0
    for reward, evidence in rewards:
        total += reward * evidence.n
        successes += reward * evidence.s1 / SCORE_ONE
    scale = max_mass / total if total > max_mass else 1.0
    return BetaPosterior(
        alpha=prior.alpha + scale * successes,
        beta=prior.beta + scale * max(total - successes, 0.0),
        observations=total,
    )


def cell_posterior(
    prior: BetaPrior,
    metrics: Mapping[str, MetricEvidence],
    rewards: Mapping[str, float],
    max_mass: float,
) -> BetaPosterior:
    """Posterior of one cell from all its metrics and the router's reward weights."""
    weighted = (
        (reward, metrics[metric].ruling)
        for metric, reward in sorted(rewards.items())
        if metric in metrics
    )
    return beta_posterior(prior, weighted, max_mass)
