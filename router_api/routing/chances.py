"""From beliefs to the chance of each deployment to be picked. Pure.

An arm scores w_quality · θ + w_cost · cheapness − w_latency · log(time) / log(span), and is picked
with the chance that its score is within the buffer of the largest (Thompson sampling, where there
is no buffer and `exploration` is 1). Between the deployments of an arm only time decides. Then two
guards: nothing of unknown speed gets the burst that would show it to be slow, and what fails now is
only probed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Final

import numpy as np

from router_api.routing.beliefs import Beliefs, Health, total
from router_api.routing.blend import buffered_probabilities
from router_api.routing.choice import FloatArray, win_probabilities
from router_api.routing.policy import cheapness, members
from router_api.routing.table import ChoiceTable
from schemas.posterior import DRIFT_MIN_OBSERVATIONS, BetaPosterior
from schemas.router_config import RouterConfig
from schemas.speed import speed_beliefs

# Shapes for which choice probabilities have their promised accuracy. Outside, confidence is bounded
# or raised to the nearest that has: at a mass of 1e6 a mean is known to 0.0005 anyway.
_MAX_MASS: Final = 1e6
_MIN_SHAPE: Final = 0.05
_HEALTHY: Final = Health(0.0, 0.0)


def choice_table(
    config: RouterConfig, request_type: str, believed: Beliefs, mask: int
) -> tuple[ChoiceTable, bool]:
    """The chances of the deployments in `mask`.

    Never raises: where the quadrature fails, the priors decide, and if they fail too, all are
    equally likely. That depends on the arguments only, so it can be recomputed. The flag is True
    where the beliefs could be used.
    """
    chosen = members(mask)
    names = [config.deployments[index].name for index in chosen]
    try:
        return _table(config, names, _chances(config, believed, chosen)), True
    except (ArithmeticError, ValueError):
        pass
    try:
        unlearned = _unlearned(config, request_type)
        return _table(config, names, _chances(config, unlearned, chosen)), False
    except (ArithmeticError, ValueError):
        return _table(config, names, np.full(len(chosen), 1.0 / len(chosen))), False


def _table(config: RouterConfig, names: Sequence[str], chances: FloatArray) -> ChoiceTable:
    return ChoiceTable.from_probabilities(names, chances.tolist(), config.min_probability)


def _unlearned(config: RouterConfig, request_type: str) -> Beliefs:
    """What is believed without any evidence."""
    priors = (config.prior.of(arm, request_type) for arm in config.arms)
    nothing = total(())
    each = len(config.deployments)
    return Beliefs(
        quality=tuple(BetaPosterior(prior.alpha, prior.beta, 0.0) for prior in priors),
        times=(nothing,) * each,
        calls=(0.0,) * each,
        recent_calls=(0.0,) * each,
        health=(_HEALTHY,) * each,
    )


def _chances(config: RouterConfig, believed: Beliefs, chosen: Sequence[int]) -> FloatArray:
    """Chance of each of `chosen`, with those that fail now held at their probe."""
    below = config.health.failing_below
    failing = np.array([believed.health[index].failing(below) for index in chosen])
    if not failing.any() or failing.all():  # where all fail, leaving all out helps nobody
        return _by_arm(config, believed, chosen, believed.health)
    # What a failing one gets if it were well, at most its probe: one that would not be picked
    # anyway is not worth a failed request.
    wished = _by_arm(config, believed, chosen, [_HEALTHY] * len(believed.health))
    chances = np.where(failing, np.minimum(wished, config.health.probe), 0.0)
    well = [index for index, fails in zip(chosen, failing.tolist(), strict=True) if not fails]
    share = 1.0 - float(chances.sum())
    chances[~failing] = share * _by_arm(config, believed, well, believed.health)
    return chances


def _by_arm(
    config: RouterConfig, believed: Beliefs, chosen: Sequence[int], health: Sequence[Health]
) -> FloatArray:
    """The chance of each arm, shared out among those of its deployments that are in `chosen`."""
    places: dict[int, list[int]] = {}
    for place, index in enumerate(chosen):
        places.setdefault(config.deployments[index].arm, []).append(place)
    groups = [[chosen[place] for place in its_places] for its_places in places.values()]
    of_arm = _between_arms(config, believed, list(places), groups, health)
    chances = np.empty(len(chosen))
    for chance, its_places, group in zip(of_arm, places.values(), groups, strict=True):
        chances[its_places] = chance * _between_deployments(config, believed, group, health)
    return chances


def _between_arms(
    config: RouterConfig,
    believed: Beliefs,
    arms: Sequence[int],
    groups: Sequence[Sequence[int]],
    health: Sequence[Health],
) -> FloatArray:
    if len(arms) == 1:
        return np.ones(1)
    weights = config.weights
    of_arms = [_sum([health[index] for index in group]) for group in groups]
    alpha, beta = _shapes([believed.quality[arm] for arm in arms], of_arms, config.exploration)
    cheap = cheapness(config.arms)
    offset = weights.cost * np.array([cheap[arm] for arm in arms])
    if weights.latency == 0.0:
        return win_probabilities(alpha, beta, offset, weights.quality)
    octave = weights.latency / log2(config.speed.span)
    speeds = speed_beliefs([total(believed.times[i] for i in group) for group in groups])
    chances = buffered_probabilities(
        alpha,
        beta,
        offset - octave * np.array([speed.location for speed in speeds]),
        weights.quality,
        octave * np.array([speed.scale for speed in speeds]),
        np.array([speed.degrees for speed in speeds]),
        octave * log2(1.0 + config.speed.buffer),
    )
    calls = [sum(believed.calls[index] for index in group) for group in groups]
    recent = [sum(believed.recent_calls[index] for index in group) for group in groups]
    return _guarded(config, chances, calls, recent)


def _between_deployments(
    config: RouterConfig, believed: Beliefs, group: Sequence[int], health: Sequence[Health]
) -> FloatArray:
    """Shares of an arm's deployments: quality and price are the same, so time decides, and a call
    that is not answered has to be made again."""
    if len(group) == 1:
        return np.ones(1)
    speeds = speed_beliefs([believed.times[index] for index in group])
    again = np.array([log2(1.0 / health[index].answering) for index in group])
    nothing = np.ones(len(group))
    chances = buffered_probabilities(
        nothing,
        nothing,
        -again - np.array([speed.location for speed in speeds]),
        0.0,
        np.array([speed.scale for speed in speeds]),
        np.array([speed.degrees for speed in speeds]),
        log2(1.0 + config.speed.buffer),
    )
    calls = [believed.calls[index] for index in group]
    return _guarded(config, chances, calls, [believed.recent_calls[index] for index in group])


def _guarded(
    config: RouterConfig, chances: FloatArray, calls: Sequence[float], recent: Sequence[float]
) -> FloatArray:
    """No more than `max_unproven` (or an equal share) to each of unknown speed: of the calls that
    are under way before the first answer, only so many can meet a slow one. As unknown is one that
    was called before and not lately, while another was: it may have been left for being slow, and
    until there is enough to see a drift it looks like its old self."""
    known, lately = np.array(calls), np.array(recent)
    unproven = known < config.speed.proven_after
    if lately.max() >= DRIFT_MIN_OBSERVATIONS:
        unproven |= (lately < DRIFT_MIN_OBSERVATIONS) & (known - lately >= DRIFT_MIN_OBSERVATIONS)
    most = max(1.0 / len(chances), config.speed.max_unproven)
    limit = np.where(unproven, most, 1.0)
    given = np.minimum(chances, limit)
    while (left := 1.0 - float(given.sum())) > 1e-12:
        room = given < limit
        wish = np.where(room, chances, 0.0)
        if not wish.any():
            wish = np.where(room, 1.0, 0.0)
        given = np.minimum(given + left * wish / wish.sum(), limit)
    return given


def _sum(parts: Sequence[Health]) -> Health:
    whole = _HEALTHY
    for part in parts:
        whole = whole.plus(part)
    return whole


def _shapes(
    quality: Sequence[BetaPosterior], health: Sequence[Health], exploration: float
) -> tuple[FloatArray, FloatArray]:
    """Shapes of each arm's worth: its quality if the call is answered, else nothing. For a reward
    of 0 or 1 that is a Beta of the same mass and the product of the means. Shapes divided by
    `exploration` have its mean and about that share of its variance: the posterior reshaping of
    Chapelle and Li, "An Empirical Evaluation of Thompson Sampling", NIPS 2011."""
    answering = np.array([each.answering for each in health])
    alpha = np.array([each.alpha for each in quality]) / exploration
    beta = np.array([each.beta for each in quality]) / exploration + alpha * (1.0 - answering)
    alpha = alpha * answering
    scale = np.minimum(1.0, _MAX_MASS / (alpha + beta))
    return np.maximum(alpha * scale, _MIN_SHAPE), np.maximum(beta * scale, _MIN_SHAPE)
