"""Eligibility, cheapness, beliefs, and chances that can always be had."""

from __future__ import annotations

from typing import Any

import pytest

from router_api.errors import NoEligibleArm, UnknownArm
from router_api.routing import policy
from router_api.routing.choice import win_probabilities
from router_api.routing.policy import (
    cheapness,
    choice_table,
    default_request_type,
    eligible_arms,
    members,
    posteriors,
)
from schemas.posterior import BetaPosterior, metrics_at
from schemas.router_config import Arm, RouterConfig
from tests.factories import config
from tests.snapshots import AS_OF_MS, observed


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


# What is believed


def test_posterior_is_prior_plus_rewarded_evidence() -> None:
    router = config(rewards={"quality": 2.0, "kept_only": 0.0})
    rows = {
        **observed("a", [1.0, 1.0, 0.0]),
        **observed("a", [0.0] * 50, metric="kept_only"),
        **observed("gone", [0.0] * 50),
    }

    known, unknown = posteriors(router, "general", metrics_at(rows, AS_OF_MS))

    prior = router.prior.of(router.arms[0], "general")
    assert (known.alpha, known.beta) == pytest.approx((prior.alpha + 4.0, prior.beta + 2.0))
    assert (unknown.alpha, unknown.beta) == (prior.alpha, prior.beta)
    assert unknown.observations == 0.0


def test_strength_raises_the_prior_of_its_type_only() -> None:
    router = RouterConfig.model_validate(
        {"router": "r", "arms": [{"name": "a", "strengths": ["writing"]}, {"name": "b"}]}
    )
    strong, plain = posteriors(router, "writing", {})
    assert strong.mean > plain.mean
    elsewhere, _ = posteriors(router, "general", {})
    assert elsewhere.mean == plain.mean


# Chances


def beliefs(*shapes: tuple[float, float]) -> list[BetaPosterior]:
    return [BetaPosterior(alpha, beta, alpha + beta) for alpha, beta in shapes]


def test_better_arm_is_likelier_and_cheapness_weighs_in() -> None:
    even = beliefs((50, 50), (50, 50))
    arms = [
        {"name": "dear", "price": {"usd_per_request": 2.0}},
        {"name": "cheap", "price": {"usd_per_request": 1.0}},
    ]
    router = RouterConfig.model_validate({"router": "r", "arms": arms})

    by_quality, learned = choice_table(config(), "general", beliefs((60, 40), (40, 60)), 0b11)
    by_price, _ = choice_table(router, "general", even, 0b11)

    assert learned
    assert by_quality.probabilities[0] > 0.95
    assert by_price.probabilities[1] > 0.95


def test_only_quality_counts_where_its_weight_is_1() -> None:
    arms = [
        {"name": "dear", "price": {"usd_per_request": 9.0}},
        {"name": "cheap", "price": {"usd_per_request": 1.0}},
    ]
    router = RouterConfig.model_validate(
        {"router": "r", "arms": arms, "weights": {"quality": 1.0, "cost": 0.0}}
    )
    table, _ = choice_table(router, "general", beliefs((5, 5), (5, 5)), 0b11)
    assert table.probabilities == pytest.approx((0.5, 0.5))


def test_only_price_counts_where_its_weight_is_1() -> None:
    arms = [
        {"name": "dear", "price": {"usd_per_request": 9.0}},
        {"name": "cheap", "price": {"usd_per_request": 1.0}},
    ]
    router = RouterConfig.model_validate(
        {"router": "r", "arms": arms, "weights": {"quality": 0.0, "cost": 1.0}}
    )
    table, _ = choice_table(router, "general", beliefs((500, 5), (5, 500)), 0b11)
    assert table.probabilities == (0.0, 1.0)


def test_floor_is_kept_for_every_eligible_arm() -> None:
    router = config(arms="abc", min_probability=0.1)
    table, _ = choice_table(router, "general", beliefs((900, 1), (1, 900), (1, 900)), 0b101)
    assert table.arms == ("a", "c")
    assert table.probabilities == pytest.approx((0.9, 0.1))


@pytest.mark.parametrize(
    "shapes",
    [
        pytest.param(((1e-9, 1e-9), (1e-9, 1e-9)), id="hardly a prior"),
        pytest.param(((3e9, 7e9), (7e9, 3e9)), id="more than can be integrated"),
        pytest.param(((1e-9, 1e9), (1e9, 1e-9)), id="both"),
    ],
)
def test_any_mass_that_a_configuration_allows_gives_chances(
    shapes: tuple[tuple[float, float], ...],
) -> None:
    table, learned = choice_table(config(), "general", beliefs(*shapes), 0b11)
    assert learned
    assert sum(table.probabilities) == 1.0


def test_when_the_quadrature_fails_the_priors_decide(monkeypatch: pytest.MonkeyPatch) -> None:

    def failing_for_evidence(alpha: Any, *rest: Any) -> Any:
        if alpha.max() > 100:
            raise ArithmeticError
        return win_probabilities(alpha, *rest)

    monkeypatch.setattr(policy, "win_probabilities", failing_for_evidence)
    router = tiers(1, 3)

    table, learned = choice_table(router, "general", beliefs((900, 9), (9, 900)), 0b11)

    priors = posteriors(router, "general", {})
    assert not learned
    assert table == choice_table(router, "general", priors, 0b11)[0]
    assert table.probabilities[1] > table.probabilities[0]


def test_when_nothing_can_be_computed_all_are_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> Any:
        raise ArithmeticError

    monkeypatch.setattr(policy, "win_probabilities", failing)

    table, learned = choice_table(config(arms="abcd"), "general", beliefs(*[(1, 1)] * 4), 0b1111)

    assert not learned
    assert table.probabilities == (0.25,) * 4
