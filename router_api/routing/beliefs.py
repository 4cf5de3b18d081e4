"""What is believed of each arm for one request type: quality, speed and health. Pure.

Quality is an arm's: what its deployments have earned is one posterior. Speed and health are each
deployment's own, and short-lived. Health is not quality: an answer that does not come is worth
nothing for as long as it does not come, and nothing is held against the arm afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from scipy.special import betaincinv

from schemas.evidence import NOTHING, Effective
from schemas.metrics import SCORE_ONE, UPTIME
from schemas.posterior import BetaPosterior, MetricEvidence, cell_posterior
from schemas.router_config import RouterConfig

Metrics: TypeAlias = Mapping[str, MetricEvidence]

# Calls that an arm is taken to have answered before any is known: one time-out of an untried arm
# takes a sixth of its worth for as long as it is remembered, not all of it.
_ASSUMED_ANSWERS: Final = 5.0
# Failing is said of an arm only when its success is below the bound with this certainty: four
# failures in a row where there is no other evidence, and never one.
_FAILING_CERTAINTY: Final = 0.95
# A half-life at which less than this is left of the last call does not speak of the last calls.
_LAST_CALLS: Final = 0.5
_NO_METRICS: Final[Metrics] = {}
_UNSEEN: Final = MetricEvidence(NOTHING, NOTHING)


class Tally(NamedTuple):
    """Calls that ended, and how many of them well."""

    calls: float
    answered: float

    def surely_below(self, bound: float) -> bool:
        """True if their success is below that bound beyond doubt."""
        failed = max(self.calls - self.answered, 0.0)
        if failed <= self.answered or bound <= 0.0:
            return False
        highest = betaincinv(1.0 + self.answered, 1.0 + failed, _FAILING_CERTAINTY)
        return bool(highest < bound)


@dataclass(frozen=True, slots=True)
class Health:
    """Recent calls of a deployment that ended: how many, and how many of them well.

    `paces` are its calls as kept at every half-life, the shortest first, all as of its latest turn:
    neither slow traffic nor a long good past hides that it fails, and being left out does not make
    it well. Without them, the recent calls are all that is known.
    """

    calls: float
    answered: float
    paces: tuple[Tally, ...] = ()

    @property
    def answering(self) -> float:
        """Chance that the next call is answered, in (0, 1]; 1 where nothing is known."""
        return (self.answered + _ASSUMED_ANSWERS) / (self.calls + _ASSUMED_ANSWERS)

    def failing(self, below: float) -> bool:
        """True if its success is surely below that bound at any pace, and so is that of its last
        calls: the first that is answered again ends it."""
        paces = self.paces or (Tally(self.calls, self.answered),)
        last = next((each for each in paces if each.calls >= _LAST_CALLS), paces[-1])
        if last.answered >= below * last.calls:
            return False
        return any(each.surely_below(below) for each in paces)

    def plus(self, other: Health) -> Health:
        """The recent calls of both. Whether they fail is each one's own."""
        return Health(self.calls + other.calls, self.answered + other.answered)


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Of one request type: `quality` by arm, the others by deployment, as the configuration lists
    them. `times` is the evidence of the time metric, `calls` the number of calls that are
    remembered, `recent_calls` those of the last moments."""

    quality: tuple[BetaPosterior, ...]
    times: tuple[Effective, ...]
    calls: tuple[float, ...]
    recent_calls: tuple[float, ...]
    health: tuple[Health, ...]


def beliefs(config: RouterConfig, request_type: str, evidence: Mapping[str, Metrics]) -> Beliefs:
    """Beliefs from {name: {metric: evidence}}; the prior where there is no evidence.

    Evidence under a name that is not in the configuration is ignored.
    """
    of_deployment = [evidence.get(each.name, _NO_METRICS) for each in config.deployments]
    by_arm: list[list[Metrics]] = [[] for _ in config.arms]
    for deployment, metrics in zip(config.deployments, of_deployment, strict=True):
        by_arm[deployment.arm].append(metrics)
    quality = tuple(
        cell_posterior(
            config.prior.of(arm, request_type),
            pooled(metrics, config.rewards),
            config.rewards,
            config.max_evidence_mass,
        )
        for arm, metrics in zip(config.arms, by_arm, strict=True)
    )
    timed = [metrics.get(config.speed.metric) for metrics in of_deployment]
    health = tuple(_health(metrics) for metrics in of_deployment)
    calls = (0.0 if seen is None else seen.slow.n * seen.slow_left for seen in timed)
    recent = tuple(0.0 if seen is None else seen.recent for seen in timed)
    return Beliefs(
        quality=quality,
        times=tuple(NOTHING if seen is None else seen.ruling for seen in timed),
        calls=tuple(max(n, of.calls) for n, of in zip(calls, health, strict=True)),
        recent_calls=recent,
        health=health,
    )


def pooled(deployments: Sequence[Metrics], rewarded: Iterable[str]) -> Metrics:
    """The rewarded metrics of an arm: the sums of its deployments', before drift is judged."""
    if len(deployments) == 1:
        return deployments[0]
    return {
        metric: MetricEvidence(
            total(metrics[metric].slow.scaled(metrics[metric].slow_left) for metrics in having),
            total(metrics[metric].fast.scaled(metrics[metric].fast_left) for metrics in having),
        )
        for metric in rewarded
        if (having := [metrics for metrics in deployments if metric in metrics])
    }


def total(parts: Iterable[Effective]) -> Effective:
    """All evidence together."""
    n = s1 = s2 = 0.0
    for part in parts:
        n, s1, s2 = n + part.n, s1 + part.s1, s2 + part.s2
    return Effective(n, s1, s2)


def _health(metrics: Metrics) -> Health:
    """Of calls as the pick, and in the place of another."""
    short = [metrics[name] for name in ("health", "fallback_health") if name in metrics]
    uptime, success = (metrics.get(name, _UNSEEN) for name in (UPTIME, "success"))
    paces = [
        total(each.fast for each in short),
        uptime.fast,
        total(each.slow for each in short),
        success.fast,
        uptime.slow,
        success.slow,
    ]
    recent = _tally(total(each.ruling for each in short))
    return Health(recent.calls, recent.answered, tuple(map(_tally, paces)))


def _tally(seen: Effective) -> Tally:
    return Tally(seen.n, seen.s1 / SCORE_ONE)
