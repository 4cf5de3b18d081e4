"""The estimators where the answer is known exactly, and their invariances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routefold.evaluate.direct_model import cross_fitted
from routefold.evaluate.estimators import (
    Sample,
    doubly_robust,
    doubly_robust_gain,
    ips,
    mean_estimate,
    snips,
)

ARMS = 3


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Any log, with a target that could have made it."""
    turns = draw(st.integers(2, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Sample(
        target=random.dirichlet(np.ones(ARMS), size=turns),
        arm=random.integers(ARMS, size=turns),
        probability=random.uniform(0.05, 1.0, size=turns),
        context=random.integers(2, size=turns),
        session=np.unique(random.integers(turns, size=turns), return_inverse=True)[1],
        value=random.normal(size=turns),
    )


def with_values(sample: Sample, values: Any) -> Sample:
    return Sample(
        sample.target, sample.arm, sample.probability, sample.context, sample.session, values
    )


def logged_policy(sample: Sample) -> Sample:
    """The same log, with the logged policy itself as the target."""
    turns = len(sample)
    target = np.repeat((1 - sample.probability)[:, None] / (ARMS - 1), ARMS, axis=1)
    target[np.arange(turns), sample.arm] = sample.probability
    return Sample(
        target, sample.arm, sample.probability, sample.context, sample.session, sample.value
    )


@given(samples())
def test_the_logged_policy_itself_is_worth_what_was_earned(sample: Sample) -> None:
    own = logged_policy(sample)
    earned = mean_estimate(own.value, own.session)
    for estimate in (ips(own), snips(own)):
        assert estimate.value == pytest.approx(earned.value, abs=1e-12)
        assert estimate.standard_error == pytest.approx(earned.standard_error, abs=1e-12)


@given(samples())
def test_self_normalised_values_stay_within_the_values(sample: Sample) -> None:
    value = snips(sample).value
    assert sample.value.min() - 1e-9 <= value <= sample.value.max() + 1e-9


@given(samples(), st.floats(-100, 100), st.floats(0.1, 10))
def test_other_units_give_the_same_answer_in_those_units(
    sample: Sample, shift: float, factor: float
) -> None:
    other = with_values(sample, sample.value * factor + shift)
    for estimate in (snips, lambda s: doubly_robust(s, cross_fitted(s))):
        before, after = estimate(sample), estimate(other)
        if len(set((sample.session % 5).tolist())) < 2 and estimate is not snips:
            continue  # a single fold: there is no model, and DR is IPS, which a shift does change
        assert after.value == pytest.approx(before.value * factor + shift, abs=1e-6)
        assert after.standard_error == pytest.approx(before.standard_error * factor, abs=1e-6)


@given(samples(), st.permutations(range(ARMS)))
def test_how_arms_are_numbered_does_not_matter(sample: Sample, order: list[int]) -> None:
    places = np.argsort(np.array(order))
    renamed = Sample(
        sample.target[:, order],
        places[sample.arm],
        sample.probability,
        sample.context,
        sample.session,
        sample.value,
    )
    for estimate in (ips, snips, lambda s: doubly_robust(s, cross_fitted(s))):
        assert estimate(renamed).value == pytest.approx(estimate(sample).value, abs=1e-9)


def worth_by_arm(worth: list[float], turns: int = 4000, seed: int = 1) -> Sample:
    """A log of arms that are always worth the same, picked with chances 0.6, 0.3, 0.1."""
    random = np.random.default_rng(seed)
    logged = np.array([0.6, 0.3, 0.1])
    arm = random.choice(ARMS, p=logged, size=turns)
    return Sample(
        target=np.tile([0.2, 0.2, 0.6], (turns, 1)),
        arm=arm,
        probability=logged[arm],
        context=np.zeros(turns, dtype=np.int64),
        session=np.arange(turns),
        value=np.array(worth)[arm],
    )


def test_a_model_that_is_right_leaves_no_uncertainty() -> None:
    sample = worth_by_arm([1.0, 0.5, 0.25])
    truth = 0.2 * 1.0 + 0.2 * 0.5 + 0.6 * 0.25
    perfect = np.tile([1.0, 0.5, 0.25], (len(sample), 1))
    estimate = doubly_robust(sample, perfect)
    assert estimate.value == pytest.approx(truth)
    assert estimate.standard_error == pytest.approx(0.0, abs=1e-12)
    gain = doubly_robust_gain(sample, perfect)
    assert gain.value == pytest.approx(truth - sample.value.mean())


def test_a_model_that_is_wrong_does_no_harm() -> None:
    sample = worth_by_arm([1.0, 0.5, 0.25])
    truth = 0.2 * 1.0 + 0.2 * 0.5 + 0.6 * 0.25
    nonsense = np.tile([-3.0, 7.0, 2.0], (len(sample), 1))
    low, high = doubly_robust(sample, nonsense).interval_95
    assert low < truth < high
    assert doubly_robust(sample, nonsense * 0).value == pytest.approx(ips(sample).value)


def test_the_model_never_sees_the_session_that_it_predicts() -> None:
    sample = worth_by_arm([0.0, 0.0, 0.0], turns=50)
    outlier = sample.value.copy()
    outlier[7] = 1e6
    predicted = cross_fitted(with_values(sample, outlier))
    same_fold = sample.session % 5 == 7 % 5
    assert np.all(predicted[same_fold] == 0.0)
    assert predicted[~same_fold].max() > 0.0


def test_turns_of_one_session_are_one_draw() -> None:
    """Ten copies of a session say nothing new: the error stays, where single turns would shrink."""
    sample = worth_by_arm([1.0, 0.5, 0.25], turns=200)
    copies = {
        name: np.repeat(getattr(sample, name), 10, axis=0)
        for name in ("target", "arm", "probability", "context", "session", "value")
    }
    together = Sample(**copies)
    assert ips(together).standard_error == pytest.approx(ips(sample).standard_error)
    apart = Sample(**{**copies, "session": np.arange(2000)})
    assert ips(apart).standard_error == pytest.approx(
        ips(sample).standard_error / 10**0.5, rel=0.01
    )


def test_one_session_has_no_interval() -> None:
    sample = worth_by_arm([1.0, 0.5, 0.25], turns=5)
    alone = Sample(
        sample.target,
        sample.arm,
        sample.probability,
        sample.context,
        np.zeros(5, dtype=np.int64),
        sample.value,
    )
    assert ips(alone).standard_error == float("inf")
