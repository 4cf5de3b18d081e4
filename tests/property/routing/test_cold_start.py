"""Cold start: what tiers, strengths, prices and weights decide before anything is learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_api.routing.policy import cheapness
from router_api.routing.router import Router
from router_api.routing.state import RouterState
from schemas.router_config import RouterConfig
from tests.snapshots import observed, snapshot, state_of

unhurried = settings(deadline=None, max_examples=60)  # a busy machine is no failure

# Probabilities are within 1e-4 of the truth, so two of them differ by chance up to this.
ACCURACY = 3e-4
TYPES = ("writing", "general")
ARM = st.fixed_dictionaries(
    {
        "tier": st.sampled_from([1, 2, 3]),
        "strengths": st.lists(st.sampled_from(TYPES), unique=True),
        "price": st.none() | st.fixed_dictionaries({"usd_per_request": st.floats(0.0, 1.0)}),
    }
)
ARMS = st.lists(ARM, min_size=2, max_size=5)
QUALITY = st.floats(0.0, 1.0)


def router(arms: list[dict[str, Any]], quality: float) -> RouterConfig:
    named = [{"name": f"arm-{index}", **arm} for index, arm in enumerate(arms)]
    weights = {"quality": quality, "cost": 1.0 - quality}
    return RouterConfig.model_validate(
        {"router": "r", "arms": named, "request_types": TYPES, "weights": weights}
    )


def shares(
    config: RouterConfig, request_type: str = "writing", state: RouterState | None = None
) -> tuple[float, ...]:
    """The chance of each arm."""
    _, choices = Router(config, 1, state or RouterState()).view(request_type, 0)
    assert choices.learned
    return choices.table.probabilities


def changed(
    arms: list[dict[str, Any]], index: int, fields: Mapping[str, Any]
) -> list[dict[str, Any]]:
    return [{**arm, **fields} if at == index else arm for at, arm in enumerate(arms)]


@unhurried
@given(ARMS, QUALITY, st.data())
def test_a_higher_tier_never_lowers_an_arm(
    arms: list[dict[str, Any]], quality: float, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(arms) - 1))
    low, high = (shares(router(changed(arms, index, {"tier": tier}), quality)) for tier in (1, 3))
    assert high[index] >= low[index] - ACCURACY
    assert sum(high) == 1.0


@unhurried
@given(ARMS, QUALITY, st.data())
def test_a_strength_raises_an_arm_for_its_type_and_touches_no_other(
    arms: list[dict[str, Any]], quality: float, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(arms) - 1))
    without, strong = (
        router(changed(arms, index, {"strengths": strengths}), quality)
        for strengths in ([], ["writing"])
    )
    assert shares(strong)[index] >= shares(without)[index] - ACCURACY
    assert shares(strong, "general") == shares(without, "general")


@unhurried
@given(ARMS, QUALITY, st.data())
def test_of_two_arms_that_differ_in_price_the_cheaper_is_likelier(
    arms: list[dict[str, Any]], quality: float, data: st.DataObject
) -> None:
    dear, cheap = data.draw(st.floats(0.5, 1.0)), data.draw(st.floats(0.0, 0.5))
    twins = [{**arms[0], "price": {"usd_per_request": usd}} for usd in (dear, cheap)]
    chances = shares(router([*twins, *arms[1:]], quality))
    assert chances[1] >= chances[0] - ACCURACY


@unhurried
@given(ARMS)
def test_where_only_quality_counts_prices_decide_nothing(arms: list[dict[str, Any]]) -> None:
    unpriced = [{**arm, "price": None} for arm in arms]
    assert shares(router(arms, 1.0)) == shares(router(unpriced, 1.0))


@unhurried
@given(ARMS)
def test_where_only_cost_counts_the_cheapest_share_everything(arms: list[dict[str, Any]]) -> None:
    config = router(arms, 0.0)
    cheap = cheapness(config.arms)
    expected = [float(each == max(cheap)) for each in cheap]
    assert shares(config) == pytest.approx([each / sum(expected) for each in expected])


OBSERVED = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=4, max_size=4)


@unhurried
@given(ARMS, OBSERVED, st.sampled_from([1.0, 0.7]))
def test_an_arm_that_is_new_gets_the_share_of_its_prior_at_once(
    arms: list[dict[str, Any]], known: list[tuple[int, int]], quality: float
) -> None:
    """All but the last arm have a history; draws of their posteriors, and of its prior, agree."""
    config = router(arms, quality)
    spread = config.exploration
    history = {
        key: sums
        for arm, (good, bad) in zip(config.arms[:-1], known, strict=False)
        for key, sums in observed(arm.name, [1.0] * good + [0.0] * bad).items()
    }
    priors = [config.prior.of(arm, "writing") for arm in config.arms]
    seen = [*known[: len(arms) - 1], (0, 0)]
    draws = np.random.default_rng(1).beta(
        [(prior.alpha + good) / spread for prior, (good, _) in zip(priors, seen, strict=True)],
        [(prior.beta + bad) / spread for prior, (_, bad) in zip(priors, seen, strict=True)],
        size=(20_000, len(arms)),
    )
    scores = quality * draws + (1.0 - quality) * np.array(cheapness(config.arms))
    expected = np.mean(scores.argmax(axis=1) == len(arms) - 1)

    state = state_of(snapshot(history, request_type="writing"))

    assert shares(config, state=state)[-1] == pytest.approx(expected, abs=0.02)
