"""What is believed: quality of an arm, speed and health of each of its deployments."""

from __future__ import annotations

from typing import Any

import pytest

from router_api.routing.beliefs import Beliefs, Health, Tally, beliefs
from schemas.evidence import SeriesKey, Sums, weight
from schemas.posterior import metrics_at
from schemas.router_config import RouterConfig
from tests.factories import config
from tests.snapshots import AS_OF_MS, observed

Rows = dict[SeriesKey, Sums]


def believed(router: RouterConfig, *rows: Rows, request_type: str = "general") -> Beliefs:
    evidence = {key: sums for part in rows for key, sums in part.items()}
    return beliefs(router, request_type, metrics_at(evidence, AS_OF_MS, {}))


def deployed(*names: str, **fields: Any) -> RouterConfig:
    """A router with one arm "m" of these deployments, and an arm "b"."""
    arms = [{"name": "m", "deployments": names}, {"name": "b"}]
    return RouterConfig.model_validate({"router": "r", "arms": arms, **fields})


def timed(arm: str, *octaves: float) -> Rows:
    fixed = [round(64 * each) for each in octaves]
    unit = weight(AS_OF_MS, 0)
    sums = Sums(len(fixed) * unit, sum(fixed) * unit, sum(x * x for x in fixed) * unit)
    return {SeriesKey(arm, "latency_ms", "slow", 0, 0): sums}


def test_posterior_is_prior_plus_rewarded_evidence() -> None:
    router = config(rewards={"quality": 2.0, "kept_only": 0.0})

    known, unknown = believed(
        router,
        observed("a", [1.0, 1.0, 0.0]),
        observed("a", [0.0] * 50, metric="kept_only"),
        observed("gone", [0.0] * 50),
    ).quality

    prior = router.prior.of(router.arms[0], "general")
    assert (known.alpha, known.beta) == pytest.approx((prior.alpha + 4.0, prior.beta + 2.0))
    assert (unknown.alpha, unknown.beta) == (prior.alpha, prior.beta)
    assert unknown.observations == 0.0


def test_strength_raises_the_prior_of_its_type_only() -> None:
    router = RouterConfig.model_validate(
        {"router": "r", "arms": [{"name": "a", "strengths": ["writing"]}, {"name": "b"}]}
    )
    strong, plain = believed(router, request_type="writing").quality
    assert strong.mean > plain.mean
    elsewhere, _ = believed(router).quality
    assert elsewhere.mean == plain.mean


def test_quality_is_shared_by_deployments_and_speed_and_health_are_not() -> None:
    seen = believed(
        deployed("eu", "us"),
        observed("eu", [1.0] * 6),
        observed("us", [0.0] * 4),
        timed("eu", 9.0, 9.0),
        observed("us", [0.0] * 3, metric="health"),
    )

    assert (seen.quality[0].alpha, seen.quality[0].beta) == (3.0 + 6.0, 2.0 + 4.0)
    assert [each.n for each in seen.times] == [2.0, 0.0, 0.0]
    assert [each.calls for each in seen.health] == [0.0, 3.0, 0.0]
    assert seen.calls == (2.0, 3.0, 0.0)


def test_quality_of_deployments_drifts_together() -> None:
    rows: Rows = {}
    for name in ("eu", "us"):
        rows |= observed(name, [1.0] * 50 + [0.0] * 5)
        rows |= observed(name, [0.0] * 5, pace="fast", half_life_ms=1000)
    ruling = believed(deployed("eu", "us"), rows).quality[0]
    assert ruling.observations == pytest.approx(10.0)  # only what is recent counts


def test_calls_in_the_place_of_another_are_calls_too() -> None:
    seen = believed(
        config(),
        observed("a", [1.0] * 4, metric="health"),
        observed("a", [0.0, 1.0], metric="fallback_health"),
    )
    assert (seen.health[0].calls, seen.health[0].answered) == (6.0, 5.0)


def test_one_timeout_is_one_bad_sample_not_a_ban() -> None:
    assert not Health(1.0, 0.0).failing(0.5)
    assert Health(1.0, 0.0).answering == pytest.approx(5 / 6)


def test_failures_in_a_row_are_failing_and_single_ones_are_not() -> None:
    assert Health(4.0, 0.0).failing(0.5)
    assert not Health(1000.0, 900.0).failing(0.5)
    assert Health(1000.0, 400.0).failing(0.5)
    assert not Health(0.0, 0.0).failing(0.5)
    assert not Health(1e6, 0.0).failing(0.0)  # 0: never


def test_health_is_a_chance_whatever_the_evidence() -> None:
    for calls, answered in ((0.0, 0.0), (1e9, 0.0), (1e9, 1e9), (3.0, 3.0000001)):
        assert 0.0 < Health(calls, min(answered, calls)).answering <= 1.0


GOOD_PAST = Tally(1000.0, 990.0)
NOTHING_LEFT = Tally(0.01, 0.0)


def test_a_long_good_past_does_not_hide_that_it_fails_now() -> None:
    assert Health(9.0, 4.0, (Tally(5.0, 0.1), GOOD_PAST)).failing(0.5)


def test_slow_traffic_does_not_hide_that_it_never_answered() -> None:
    """Of its calls, hours apart, the shorter half-lives have kept the last one at most."""
    assert Health(1.0, 0.0, (Tally(1.0, 0.0), Tally(1.1, 0.0), Tally(9.0, 0.0))).failing(0.5)
    assert Health(0.0, 0.0, (NOTHING_LEFT, NOTHING_LEFT, Tally(9.0, 0.0))).failing(0.5)


def test_the_first_call_that_is_answered_again_ends_it() -> None:
    assert not Health(1.2, 1.0, (Tally(1.2, 1.0), Tally(9.0, 1.0), Tally(60.0, 1.0))).failing(0.5)
