"""A router's policy: who may be picked. Pure functions of a configuration.

What can be picked is a deployment (an arm without any is its own one). A set of them is a bit mask,
bit i for the i-th of the configuration: one integer, which makes a cheap key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router_api.errors import NoEligibleArm, UnknownArm, listed, quoted
from schemas.request_types import GENERAL
from schemas.router_config import Arm, RouterConfig

_UNKNOWN_CHEAPNESS: Final = 0.5


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
    """The mask of everything."""
    return (1 << len(config.deployments)) - 1


def members(mask: int) -> tuple[int, ...]:
    """Indexes of those in a mask, in the configuration's order."""
    return tuple(index for index in range(mask.bit_length()) if mask >> index & 1)


def mask_of(config: RouterConfig, names: Sequence[str]) -> int:
    """The mask of named deployments; the name of an arm stands for all of its own. Raises
    UnknownArm, whose field is the position in `names`."""
    mask = 0
    for position, name in enumerate(names):
        named = sum(
            1 << index
            for index, deployment in enumerate(config.deployments)
            if name in (deployment.name, config.arms[deployment.arm].name)
        )
        if not named:
            raise UnknownArm(
                f"router {quoted(config.router)} has no arm {quoted(name)}; "
                f"it has {listed(list(map(quoted, config.arm_names)))}",
                str(position),
            )
        mask |= named
    return mask


def eligible_arms(
    config: RouterConfig, min_quality_tier: int | None, exclude: Sequence[str]
) -> int:
    """The mask of what has at least that tier that are not excluded; never empty.

    Raises UnknownArm (field "exclude.N") for a name the router does not have, and NoEligibleArm,
    which says what removed the arms, when nothing is left.
    """
    try:
        excluded = mask_of(config, exclude)
    except UnknownArm as error:
        raise UnknownArm(str(error), f"exclude.{error.field}") from None
    low = 0
    if min_quality_tier is not None:
        for index, deployment in enumerate(config.deployments):
            low |= (config.arms[deployment.arm].tier < min_quality_tier) << index
    eligible = all_arms(config) & ~excluded & ~low
    if not eligible:
        raise _none_left(config, min_quality_tier, low, excluded)
    return eligible


def _none_left(config: RouterConfig, tier: int | None, low: int, excluded: int) -> NoEligibleArm:
    rules = []
    if low:
        found = [config.deployments[index] for index in members(low)]
        names = [f"{quoted(each.name)} (tier {config.arms[each.arm].tier})" for each in found]
        rules.append(f"min_quality_tier {tier} removes {listed(names)}")
    if excluded:
        names = [quoted(config.arm_names[index]) for index in members(excluded)]
        rules.append(f"exclude removes {listed(names)}")
    return NoEligibleArm(
        f"no arm of router {quoted(config.router)} may be picked: {'; '.join(rules)}",
        "min_quality_tier" if low else "exclude",
    )
