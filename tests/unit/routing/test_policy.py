"""Eligibility and cheapness."""

from __future__ import annotations

import pytest

from router_api.errors import NoEligibleArm, UnknownArm
from router_api.routing.policy import (
    cheapness,
    default_request_type,
    eligible_arms,
    members,
)
from schemas.router_config import Arm, RouterConfig
from tests.factories import config


def tiers(*given: int) -> RouterConfig:
    """A router with arms a, b, c ... of these tiers."""
    arms = [{"name": chr(97 + i), "tier": tier} for i, tier in enumerate(given)]
    return RouterConfig.model_validate({"router": "r", "arms": arms})


def priced(*prices: float | None) -> tuple[Arm, ...]:
    return tuple(
        Arm.model_validate(
            {"name": f"arm-{i}", "price": None if usd is None else {"usd_per_request": usd}}
        )
        for i, usd in enumerate(prices)
    )


# Who may be picked


@pytest.mark.parametrize(
    ("min_quality_tier", "exclude", "left"),
    [
        (None, (), "abc"),
        (1, (), "abc"),
        (2, (), "bc"),
        (3, (), "b"),
        (None, ("b",), "ac"),
        (2, ("b",), "c"),
        (None, ("c", "c"), "ab"),
    ],
)
def test_eligible_arms_keep_the_order_of_the_configuration(
    min_quality_tier: int | None, exclude: tuple[str, ...], left: str
) -> None:
    router = tiers(1, 3, 2)
    mask = eligible_arms(router, min_quality_tier, exclude)
    assert "".join(router.arm_names[index] for index in members(mask)) == left


def test_unknown_exclusion_names_its_position() -> None:
    with pytest.raises(UnknownArm, match="no arm 'x'; it has 'a', 'b'") as caught:
        eligible_arms(tiers(1, 2), None, ("b", "x"))
    assert caught.value.field == "exclude.1"


@pytest.mark.parametrize(
    ("min_quality_tier", "exclude", "said", "field"),
    [
        (3, (), r"min_quality_tier 3 removes 'a' \(tier 1\), 'b' \(tier 2\)$", "min_quality_tier"),
        (None, ("a", "b"), "exclude removes 'a', 'b'$", "exclude"),
        (2, ("b",), r"removes 'a' \(tier 1\); exclude removes 'b'$", "min_quality_tier"),
    ],
)
def test_nothing_left_says_which_rule_removed_what(
    min_quality_tier: int | None, exclude: tuple[str, ...], said: str, field: str
) -> None:
    with pytest.raises(NoEligibleArm, match=said) as caught:
        eligible_arms(tiers(1, 2), min_quality_tier, exclude)
    assert caught.value.field == field


def test_message_stays_short_for_many_arms_and_long_names() -> None:
    router = config(arms=[f"{'x' * 180}-{i}" for i in range(64)])
    with pytest.raises(NoEligibleArm, match="and 56 more") as caught:
        eligible_arms(router, 3, ())
    assert len(str(caught.value)) < 1000


# What counts besides quality


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        pytest.param((1.0, 3.0, 2.0), (1.0, 0.0, 0.5), id="linear between the extremes"),
        pytest.param((2.0, 2.0), (0.5, 0.5), id="all equal"),
        pytest.param((2.0,), (0.5,), id="alone"),
        pytest.param((None, None), (0.5, 0.5), id="nothing known"),
        pytest.param((1.0, 3.0, 1.5, None), (1.0, 0.0, 0.75, 1.75 / 3), id="unknown is average"),
        pytest.param((0.0, 1.0, None), (1.0, 0.0, 0.5), id="free is cheapest, unknown is not free"),
        pytest.param((2.0, None), (0.5, 0.5), id="one known"),
    ],
)
def test_cheapness(prices: tuple[float | None, ...], expected: tuple[float, ...]) -> None:
    assert cheapness(priced(*prices)) == pytest.approx(expected)


def test_default_request_type() -> None:
    assert default_request_type(config()) == "general"
    assert default_request_type(config(request_types=["writing", "general"])) == "general"
    assert default_request_type(config(request_types=["writing", "poetry"])) == "writing"


def test_an_arm_stands_for_its_deployments() -> None:
    arms = [{"name": "m", "tier": 1, "deployments": ["eu", "us"]}, {"name": "b", "tier": 3}]
    router = RouterConfig.model_validate({"router": "r", "arms": arms})

    assert router.arm_names == ("eu", "us", "b")
    assert members(eligible_arms(router, None, ())) == (0, 1, 2)
    assert members(eligible_arms(router, None, ("m",))) == (2,)
    assert members(eligible_arms(router, None, ("us",))) == (0, 2)
    assert members(eligible_arms(router, 2, ())) == (2,)
