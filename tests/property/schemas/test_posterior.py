"""Posteriors: positive for any evidence, bounded, and quick to believe a drift."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.evidence import NOTHING, Effective, Pace, SeriesKey, Sums, era, reading_ms, weight
from schemas.metrics import SCORE_ONE
from schemas.posterior import BetaPrior, MetricEvidence, beta_posterior, metrics_at
from schemas.router_config import Arm, Prior
from tests.factories import T0


def scored(n: float, mean: float) -> Effective:
    """n observations of 0 or 1 with this mean."""
    return Effective(n, n * mean * SCORE_ONE, n * mean * SCORE_ONE**2)


MASSES = st.floats(0, 1e12)
EVIDENCE = st.builds(scored, MASSES, st.floats(0, 1))
PRIORS = st.builds(BetaPrior, st.floats(1e-6, 1e3), st.floats(1e-6, 1e3))
REWARDS = st.lists(st.tuples(st.floats(0, 1000), EVIDENCE), max_size=5)


@given(PRIORS, REWARDS, st.floats(0.1, 1e9))
def test_shapes_are_never_below_the_prior(
    prior: BetaPrior, rewards: list[tuple[float, Effective]], max_mass: float
) -> None:
    posterior = beta_posterior(prior, rewards, max_mass)
    assert posterior.alpha >= prior.alpha > 0
    assert posterior.beta >= prior.beta > 0
    added = posterior.alpha + posterior.beta - prior.alpha - prior.beta
    assert added <= max_mass * (1 + 1e-9) + 1e-6


@given(PRIORS)
def test_without_evidence_it_is_the_prior(prior: BetaPrior) -> None:
    posterior = beta_posterior(prior, [(1.0, NOTHING)], 100.0)
    assert (posterior.alpha, posterior.beta) == (prior.alpha, prior.beta)
    assert posterior.observations == 0


@given(st.integers(1, 10_000), st.booleans())
def test_one_sided_evidence_keeps_the_prior(n: int, good: bool) -> None:
    """A cell with only successes (or failures) is prior + evidence, never evidence alone."""
    posterior = beta_posterior(BetaPrior(5, 5), [(1.0, scored(n, float(good)))], 1e9)
    assert (posterior.alpha, posterior.beta) == pytest.approx((5 + n, 5) if good else (5, 5 + n))


@given(st.floats(1, 1e6), st.floats(0, 1), st.floats(1, 1e6))
def test_the_mass_is_scaled_and_the_mean_stays(n: float, mean: float, max_mass: float) -> None:
    posterior = beta_posterior(BetaPrior(1e-9, 1e-9), [(1.0, scored(n, mean))], max_mass)
    assert posterior.mean == pytest.approx(mean, abs=1e-6)


def test_a_contradiction_beyond_chance_is_believed() -> None:
    slow = scored(5_000, 0.85)
    within = MetricEvidence(slow, scored(20, 0.80))
    beyond = MetricEvidence(slow, scored(20, 0.35))
    few = MetricEvidence(slow, scored(4.9, 0.0))
    assert (within.drifted, beyond.drifted, few.drifted) == (False, True, False)
    assert within.ruling == within.slow
    assert beyond.ruling == beyond.fast


@given(st.sampled_from([1, 2, 3]), st.booleans())
def test_tiers_and_strengths_make_the_prior(tier: int, strong: bool) -> None:
    arm = Arm.model_validate(
        {"name": "m", "tier": tier, "strengths": ["writing"] if strong else []}
    )
    prior = Prior().of(arm, "writing")
    mean = min({1: 0.4, 2: 0.6, 3: 0.8}[tier] + (0.3 if strong else 0.0), 0.95)
    assert prior.alpha == pytest.approx(5 * mean)
    assert prior.beta == pytest.approx(5 * (1 - mean))


def used(x: int, times: int, at_ms: int, *, slow_ms: int, fast_ms: int) -> dict[SeriesKey, Sums]:
    """Rows, at both paces, of so many observations of one arm at one time."""
    rows = {}
    paces: tuple[tuple[Pace, int], ...] = (("slow", slow_ms), ("fast", fast_ms))
    for pace, half_life_ms in paces:
        w = weight(at_ms, half_life_ms) * times
        key = SeriesKey("a", "latency_ms", pace, half_life_ms, era(at_ms, half_life_ms))
        rows[key] = Sums(w, w * x, w * x * x)
    return rows


def added(*parts: dict[SeriesKey, Sums]) -> dict[SeriesKey, Sums]:
    total: dict[SeriesKey, Sums] = {}
    for part in parts:
        for key, sums in part.items():
            total[key] = total.get(key, Sums(0, 0, 0)).plus(sums)
    return total


@pytest.mark.parametrize("slow_ms", [300_000, 0])
def test_an_arm_that_was_left_for_being_slow_stays_slow_and_becomes_unknown(slow_ms: int) -> None:
    """Read at the present, the little that it showed last would have faded before the much that
    it showed before, and it would look fast again after seconds."""
    paces = {"slow_ms": slow_ms, "fast_ms": 3_000}
    fast_then_slow = added(
        *(used(570 + i % 9, 10, T0 - 60_000 + i * 1000, **paces) for i in range(50)),
        used(740, 20, T0, **paces),
    )
    left_at = {"a": T0}

    now = metrics_at(fast_then_slow, T0, left_at)["a"]["latency_ms"]
    later = metrics_at(fast_then_slow, T0 + 30_000, left_at)["a"]["latency_ms"]
    in_use = metrics_at(fast_then_slow, T0 + 30_000, {})["a"]["latency_ms"]

    assert (now.drifted, later.drifted, in_use.drifted) == (True, True, False)
    assert later.ruling.mean == pytest.approx(now.ruling.mean)
    assert later.ruling.mean == pytest.approx(740, abs=40)
    assert later.ruling.n < now.ruling.n
    assert later.recent < 0.1 < now.recent


def test_how_often_an_arm_was_picked_is_read_now() -> None:
    at = {"a": T0}
    assert reading_ms("a", "picked", T0 + 5, at) == T0 + 5
    assert reading_ms("a", "quality", T0 + 5, at) == T0
    assert reading_ms("b", "quality", T0 + 5, at) == T0 + 5
