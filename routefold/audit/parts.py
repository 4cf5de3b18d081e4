"""What a choice was decided by: each arm's quality, price, speed and health, in units of the score.

Pure. The same beliefs as the choice itself; of the chances only the table knows, as they follow
from the uncertainty of these parts and not from their means alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import log2
from typing import Final

from scipy.special import betaincinv

from routefold.audit.levers import Situation
from router_api.routing.beliefs import Health, total
from router_api.routing.policy import cheapness
from schemas.speed import speed_beliefs

_INTERVAL_90: Final = (0.05, 0.95)


@dataclass(frozen=True, slots=True)
class Part:
    """One eligible arm or deployment, and the parts of its mean score.

    `quality` is the posterior mean of the arm's reward, `interval_90` where it lies; `answering`
    the chance that a call is answered now. `speed_part` is 0 for the fastest and below for others.
    """

    name: str
    arm: str
    probability: float
    quality: float
    interval_90: tuple[float, float]
    observations: float
    answering: float
    failing: bool
    time_ms: float | None
    quality_part: float
    cost_part: float
    speed_part: float

    @property
    def score(self) -> float:
        """Mean score."""
        return self.quality_part + self.cost_part + self.speed_part


def parts(at: Situation) -> list[Part]:
    """The parts of every eligible arm, the likeliest first."""
    config, believed = at.config, at.believed
    chances = dict(zip(at.table.arms, at.table.probabilities, strict=True))
    places = [i for i, each in enumerate(config.deployments) if each.name in chances]
    groups: dict[int, list[int]] = {}
    for place in places:
        groups.setdefault(config.deployments[place].arm, []).append(place)
    speed = _speed_parts(at, groups)
    cheap = cheapness(config.arms)
    found = []
    for place in places:
        name, arm = config.deployments[place]
        quality, health = believed.quality[arm], believed.health[place]
        of_arm = reduce(Health.plus, (believed.health[i] for i in groups[arm]), Health(0.0, 0.0))
        low, high = betaincinv(quality.alpha, quality.beta, _INTERVAL_90).tolist()
        seen = believed.times[place]
        part = Part(
            name=name,
            arm=config.arms[arm].name,
            probability=chances[name],
            quality=quality.mean,
            interval_90=(low, high),
            observations=quality.observations,
            answering=health.answering,
            failing=health.failing(config.health.failing_below),
            time_ms=2.0 ** speed_beliefs([seen])[0].location if seen.n > 0 else None,
            quality_part=config.weights.quality * quality.mean * of_arm.answering,
            cost_part=config.weights.cost * cheap[arm],
            speed_part=speed[arm],
        )
        found.append(part)
    return sorted(found, key=lambda part: -part.probability)


def _speed_parts(at: Situation, groups: dict[int, list[int]]) -> dict[int, float]:
    """By arm: what its time takes from its score, beside the fastest."""
    weight = at.config.weights.latency
    if weight == 0.0:
        return dict.fromkeys(groups, 0.0)
    believed = speed_beliefs([total(at.believed.times[i] for i in g) for g in groups.values()])
    octave = weight / log2(at.config.speed.span)
    fastest = min(each.location for each in believed)
    return {
        arm: octave * (fastest - each.location) for arm, each in zip(groups, believed, strict=True)
    }
