"""What would have made another arm the likeliest: one thing changed, and as little as can be. Pure.

Each lever is a number that something is changed by. Along a lever the likeliest arm is looked up at
points farther and farther away; where it first changes, bisection finds how far that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from router_api.routing.beliefs import Beliefs
from router_api.routing.policy import mask_of
from router_api.routing.router import choice_set
from router_api.routing.state import Reading
from router_api.routing.table import ChoiceTable
from schemas.posterior import BetaPosterior
from schemas.router_config import Price, RouterConfig, Weights

Kind = Literal["good observations", "bad observations", "price", "weight"]

# Points tried on a lever, then halvings of the interval in which the change lies: 24 of them reach
# seven digits.
_POINTS: Final = 20
_HALVINGS: Final = 24
_MOST_OBSERVATIONS: Final = 1e5
_MOST_TIMES_DEARER: Final = 1e3
# Levers of the other arms: only the likeliest of them could come into question.
_MAX_OTHERS: Final = 4


@dataclass(frozen=True, slots=True)
class Lever:
    """The smallest change of one thing that makes `then` the likeliest.

    kind "good observations" or "bad observations": `after` more, of reward 1 or 0, of the arm
    `name`; "price": of the arm `name`, `after` times what it is; "weight": the one called `name`,
    from `before` to `after`, the others in proportion.
    """

    kind: Kind
    name: str
    before: float
    after: float
    then: str


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a choice was made from."""

    config: RouterConfig
    request_type: str
    reading: Reading
    believed: Beliefs
    eligible: tuple[str, ...]

    @property
    def table(self) -> ChoiceTable:
        """The chances of the eligible arms."""
        mask = mask_of(self.config, self.eligible)
        found = choice_set(self.config, self.request_type, self.reading, self.believed, mask)
        return found.table

    @property
    def likeliest(self) -> str:
        """The arm with the largest chance, all of its deployments together; the first of equals."""
        arms = {each.name: self.config.arms[each.arm].name for each in self.config.deployments}
        table, chances = self.table, dict.fromkeys(arms.values(), 0.0)
        for name, probability in zip(table.arms, table.probabilities, strict=True):
            chances[arms[name]] += probability
        return max(chances, key=lambda arm: chances[arm])


def levers(at: Situation) -> list[Lever]:
    """Every lever that works, within 100,000 observations and a thousandfold price."""
    first = at.likeliest
    found = (
        _first_change(kind, name, before, points, change, first)
        for kind, name, before, points, change in _ways(at, first)
    )
    return [lever for lever in found if lever is not None]


_Change = Callable[[float], Situation]
_Way = tuple[Kind, str, float, Sequence[float], _Change]


def _ways(at: Situation, first: str) -> Iterator[_Way]:
    more = np.geomspace(0.1, _MOST_OBSERVATIONS, _POINTS).tolist()
    dearer = np.geomspace(1.0, _MOST_TIMES_DEARER, _POINTS)[1:].tolist()
    cheaper = [*(1.0 / factor for factor in dearer), 0.0]
    names = [arm.name for arm in at.config.arms]
    leader = names.index(first)
    yield "bad observations", first, 0.0, more, lambda n: _observed(at, leader, 0.0, n)
    if at.config.arms[leader].price is not None:
        yield "price", first, 1.0, dearer, lambda f: _priced(at, leader, f)
    for other in _others(at, leader):
        yield "good observations", names[other], 0.0, more, _observing(at, other)
        if at.config.arms[other].price is not None:
            yield "price", names[other], 1.0, cheaper, _pricing(at, other)
    for name in type(at.config.weights).model_fields:
        now = getattr(at.config.weights, name)
        for end in (0.0, 1.0):
            if now != end and (end == 1.0 or now != 1.0):
                points = np.linspace(now, end, _POINTS + 1)[1:].tolist()
                yield "weight", name, now, points, _weighing(at, name)


def _others(at: Situation, leader: int) -> list[int]:
    """Other arms that were eligible, those of the highest mean quality first."""
    eligible = {each.arm for each in at.config.deployments if each.name in at.eligible} - {leader}
    by_mean = sorted(eligible, key=lambda arm: (-at.believed.quality[arm].mean, arm))
    return by_mean[:_MAX_OTHERS]


def _first_change(
    kind: Kind, name: str, before: float, points: Sequence[float], change: _Change, first: str
) -> Lever | None:
    same = before
    for point in points:
        then = change(point).likeliest
        if then != first:
            break
        same = point
    else:
        return None
    other = point
    for _ in range(_HALVINGS):
        middle = (same + other) / 2.0
        found = change(middle).likeliest
        if found == first:
            same = middle
        else:
            other, then = middle, found
    return Lever(kind, name, before, other, then)


def _observing(at: Situation, arm: int) -> _Change:
    return lambda count: _observed(at, arm, 1.0, count)


def _pricing(at: Situation, arm: int) -> _Change:
    return lambda factor: _priced(at, arm, factor)


def _weighing(at: Situation, name: str) -> _Change:
    return lambda weight: _weighed(at, name, weight)


def _observed(at: Situation, arm: int, reward: float, count: float) -> Situation:
    """With so many more observations of that reward, each made just now."""
    known = at.believed.quality[arm]
    more = BetaPosterior(
        known.alpha + count * reward,
        known.beta + count * (1.0 - reward),
        known.observations + count,
    )
    quality = (*at.believed.quality[:arm], more, *at.believed.quality[arm + 1 :])
    return replace(at, believed=replace(at.believed, quality=quality))


def _priced(at: Situation, arm: int, factor: float) -> Situation:
    price = at.config.arms[arm].price
    assert price is not None
    prices = {name: usd * factor for name, usd in price.model_dump().items() if usd is not None}
    changed = at.config.arms[arm].model_copy(update={"price": Price(**prices)})
    arms = (*at.config.arms[:arm], changed, *at.config.arms[arm + 1 :])
    return replace(at, config=at.config.model_copy(update={"arms": arms}))


def _weighed(at: Situation, name: str, weight: float) -> Situation:
    given = at.config.weights.model_dump()
    rest = 1.0 - given[name]
    share = (1.0 - weight) / rest if rest > 0.0 else 0.0
    changed = {other: now * share for other, now in given.items()} | {name: weight}
    return replace(at, config=at.config.model_copy(update={"weights": Weights(**changed)}))
