"""A router's policy: who may be picked, what is believed of each arm, and how that becomes chances.

Pure functions of a configuration and of evidence. A set of arms is a bit mask, bit i for the i-th
arm of the configuration: one integer, which makes a cheap key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from router_api.errors import NoEligibleArm, UnknownArm, listed, quoted
from router_api.routing.choice import FloatArray, win_probabilities
from router_api.routing.table import ChoiceTable
from schemas.posterior import BetaPosterior, BetaPrior, MetricEvidence, cell_posterior
from schemas.request_types import GENERAL
from schemas.router_config import Arm, RouterConfig

_UNKNOWN_CHEAPNESS: Final = 0.5
# Shapes for which choice probabilities have their promised accuracy. Outside, confidence is bounded
# or raised to the nearest that has: at a mass of 1e6 a mean is known to 0.0005 anyway.
_MAX_MASS: Final = 1e6
_MIN_SHAPE: Final = 0.05
# One (request type, arm) without any evidence.
_NO_METRICS: Final[Mapping[str, MetricEvidence]] = {}


def default_request_type(config: RouterConfig) -> str:
    """The type of a request that fits no other: "general" if declared, else the first."""
    return GENERAL if GENERAL in config.request_types else config.request_types[0]


def cheapness(arms: Sequence[Arm]) -> tuple[float, ...]:
    """How cheap each arm is among the priced ones: 1 the cheapest, 0 the dearest.

    0.5 for all when all prices are equal or none is known. An arm without a price has the mean of
    the priced ones: unknown is unknown, never free.
    """
    prices = [None if arm.price is None else arm.price.comparable_usd for arm in arms]
    known = [price for price in prices if price is not None]
    if not known:
        return (_UNKNOWN_CHEAPNESS,) * len(arms)
    low, span = min(known), max(known) - min(known)

    def of(price: float) -> float:
        return 1.0 - (price - low) / span if span > 0.0 else _UNKNOWN_CHEAPNESS

    mean = sum(map(of, known)) / len(known)
    return tuple(mean if price is None else of(price) for price in prices)


def all_arms(config: RouterConfig) -> int:
    """The mask of every arm."""
    return (1 << len(config.arms)) - 1


def members(mask: int) -> tuple[int, ...]:
    """Indexes of the arms in a mask, in the configuration's order."""
    return tuple(index for index in range(mask.bit_length()) if mask >> index & 1)


def mask_of(config: RouterConfig, names: Sequence[str]) -> int:
    """The mask of named arms. Raises UnknownArm, whose field is the position in `names`."""
    mask = 0
    known = config.arm_names
    for position, name in enumerate(names):
        if name not in known:
            raise UnknownArm(
                f"router {quoted(config.router)} has no arm {quoted(name)}; "
                f"it has {listed(list(map(quoted, known)))}",
                str(position),
            )
        mask |= 1 << known.index(name)
    return mask


def eligible_arms(
    config: RouterConfig, min_quality_tier: int | None, exclude: Sequence[str]
) -> int:
    """The mask of the arms with at least that tier that are not excluded; never empty.

    Raises UnknownArm (field "exclude.N") for a name the router does not have, and NoEligibleArm,
    which says what removed the arms, when nothing is left.
    """
    try:
        excluded = mask_of(config, exclude)
    except UnknownArm as error:
        raise UnknownArm(str(error), f"exclude.{error.field}") from None
    low = 0
    if min_quality_tier is not None:
        for index, arm in enumerate(config.arms):
            low |= (arm.tier < min_quality_tier) << index
    eligible = all_arms(config) & ~excluded & ~low
    if not eligible:
        raise _none_left(config, min_quality_tier, low, excluded)
    return eligible


def _none_left(config: RouterConfig, tier: int | None, low: int, excluded: int) -> NoEligibleArm:
    rules = []
    if low:
        arms = [config.arms[index] for index in members(low)]
        names = [f"{quoted(arm.name)} (tier {arm.tier})" for arm in arms]
        rules.append(f"min_quality_tier {tier} removes {listed(names)}")
    if excluded:
        names = [quoted(config.arms[index].name) for index in members(excluded)]
        rules.append(f"exclude removes {listed(names)}")
    return NoEligibleArm(
        f"no arm of router {quoted(config.router)} may be picked: {'; '.join(rules)}",
        "min_quality_tier" if low else "exclude",
    )


def posteriors(
    config: RouterConfig,
    request_type: str,
    evidence: Mapping[str, Mapping[str, MetricEvidence]],
) -> tuple[BetaPosterior, ...]:
    """Posterior of each arm from {arm: {metric: evidence}}; the prior where there is no evidence.

    Evidence of an arm that is not in the configuration is ignored.
    """
    return tuple(
        cell_posterior(
            config.prior.of(arm, request_type),
            evidence.get(arm.name, _NO_METRICS),
            config.rewards,
            config.max_evidence_mass,
        )
        for arm in config.arms
    )


def choice_table(
    config: RouterConfig, request_type: str, beliefs: Sequence[BetaPosterior], mask: int
) -> tuple[ChoiceTable, bool]:
    """The chances of the arms in `mask`, for a score of w_quality · theta + w_cost · cheapness.

    Never raises: where the quadrature fails, the priors decide, and if they fail too, all arms are
    equally likely. That depends on the arguments only, so it can be recomputed. The flag is True
    where the posteriors could be used.
    """
    chosen = members(mask)
    names = [config.arms[index].name for index in chosen]
    cheap = cheapness(config.arms)
    offset = config.weights.cost * np.array([cheap[index] for index in chosen])
    priors = [config.prior.of(config.arms[index], request_type) for index in chosen]
    believed = [beliefs[index] for index in chosen]
    for shapes, learned in ((believed, True), (priors, False)):
        alpha, beta = _bounded(shapes)
        try:
            chances = win_probabilities(alpha, beta, offset, config.weights.quality)
            table = ChoiceTable.from_probabilities(names, chances.tolist(), config.min_probability)
        except (ArithmeticError, ValueError):
            continue
        return table, learned
    uniform = [1.0 / len(chosen)] * len(chosen)
    return ChoiceTable.from_probabilities(names, uniform, config.min_probability), False


def _bounded(shapes: Sequence[BetaPosterior | BetaPrior]) -> tuple[FloatArray, FloatArray]:
    alpha = np.array([each.alpha for each in shapes])
    beta = np.array([each.beta for each in shapes])
    scale = np.minimum(1.0, _MAX_MASS / (alpha + beta))
    return np.maximum(alpha * scale, _MIN_SHAPE), np.maximum(beta * scale, _MIN_SHAPE)
