"""Chances of good enough arms against closed forms, an independent lattice and direct draws."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import ndtr, stdtr

from router_api.routing import race
from router_api.routing.choice import win_probabilities
from router_api.routing.errors import QuadratureError
from tests.property.routing.blend_arms import (
    Arms,
    FloatArray,
    any_arms,
    arms_like,
    lattice,
    many_arms,
    powers,
    timed_only,
)

ACCURACY = 2e-3  # what buffered_probabilities promises
unhurried = settings(deadline=None, max_examples=60)  # a busy machine is no failure


# Invariants over the whole supported range.


@unhurried
@given(any_arms())
def test_chances_sum_to_one_and_repeat_bit_for_bit(arms: Arms) -> None:
    chances = arms.chances()

    assert chances.shape == (len(arms),)
    assert (chances >= 0.0).all()
    assert abs(float(chances.sum()) - 1.0) <= 1e-9
    assert chances.tobytes() == arms.chances().tobytes()


@unhurried
@given(any_arms(), st.data())
def test_reordering_arms_reorders_chances(arms: Arms, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(arms))))

    np.testing.assert_allclose(arms.reordered(order).chances(), arms.chances()[order], atol=1e-4)


@unhurried
@given(any_arms(), st.data())
def test_a_higher_offset_never_lowers_an_arm(arms: Arms, data: st.DataObject) -> None:
    raised = data.draw(st.integers(0, len(arms) - 1))
    by = data.draw(powers(1e-3, 1.0))

    offset = list(arms.offset)
    offset[raised] += by

    change = replace(arms, offset=tuple(offset)).chances() - arms.chances()

    assert change[raised] >= -ACCURACY


@unhurried
@given(any_arms(max_arms=6), st.integers(2, 5))
def test_identical_arms_share_equally(arms: Arms, copies: int) -> None:
    order = list(range(len(arms))) + [0] * (copies - 1)

    chances = arms.reordered(order).chances()

    alike = chances[[0, *range(len(arms), len(order))]]
    np.testing.assert_allclose(alike, alike[0], atol=1e-9)


@unhurried
@given(any_arms(), powers(1e-3, 1.0), st.sampled_from([-1.0, 0.25]))
def test_neither_unit_nor_origin_of_scores_matters(arms: Arms, unit: float, origin: float) -> None:
    # What rounding takes from an offset when the origin moves would decide between exact scores.
    arms = replace(arms, offset=tuple(round(offset, 9) for offset in arms.offset))
    other = Arms(
        arms.alpha,
        arms.beta,
        tuple(unit * (offset + origin) for offset in arms.offset),
        unit * arms.scale,
        tuple(unit * spread for spread in arms.spread),
        arms.degrees,
        unit * arms.buffer,
    )

    np.testing.assert_allclose(other.chances(), arms.chances(), atol=ACCURACY)


# What the buffer is for.


@unhurried
@given(st.integers(2, 8), powers(1e-5, 1e-3), powers(0.05, 0.3), st.data())
def test_arms_within_the_buffer_share_and_one_far_below_gets_nothing(
    n: int, width: float, buffer: float, data: st.DataObject
) -> None:
    offsets = data.draw(st.lists(st.floats(0.0, 0.8 * buffer), min_size=n, max_size=n))
    far = -1.5 * buffer - 20.0 * width
    arms = arms_like(
        [1e4] * (n + 1),
        [0.5] * (n + 1),
        [width] * (n + 1),
        offset=[*offsets, far],
        degrees=[30.0] * (n + 1),
        scale=100.0 * width,
        buffer=buffer,
    )

    chances = arms.chances()

    np.testing.assert_allclose(chances[:-1], 1.0 / n, atol=ACCURACY)
    assert chances[-1] <= 1e-6


@unhurried
@given(any_arms(min_arms=2), st.data())
def test_a_buffer_wider_than_all_scores_makes_all_equal(arms: Arms, data: st.DataObject) -> None:
    wide = replace(arms, buffer=data.draw(st.sampled_from([1e4, 1e9, 1e100])))

    np.testing.assert_allclose(wide.chances(), 1.0 / len(arms), atol=1e-4)


@unhurried
@given(any_arms(least_shape=0.5), powers(1e-12, 1e-8))
def test_a_vanishing_buffer_and_spread_leave_thompson_sampling(arms: Arms, least: float) -> None:
    quality = replace(arms, scale=0.7, spread=(least,) * len(arms), buffer=least)
    alpha, beta, offset, _, _ = quality.arrays()

    expected = win_probabilities(alpha, beta, offset, quality.scale)

    np.testing.assert_allclose(quality.chances(), expected, atol=ACCURACY)


@unhurried
@given(any_arms())
def test_where_time_counts_nowhere_and_without_buffer_it_is_win_probabilities(arms: Arms) -> None:
    quality = replace(arms, spread=(0.0,) * len(arms), buffer=0.0)
    alpha, beta, offset, _, _ = quality.arrays()

    expected = win_probabilities(alpha, beta, offset, arms.scale)

    np.testing.assert_array_equal(quality.chances(), expected)


# Closed forms.


@unhurried
@given(st.floats(-2.0, 2.0), powers(1e-3, 3.0), powers(1e-3, 3.0), st.sampled_from([0.0, 0.2]))
@example(0.0, 1e-3, 3.0, 0.0)
def test_two_normal_times(gap: float, first: float, second: float, buffer: float) -> None:
    """W of the first is the chance that a normal difference is at least -buffer."""
    arms = timed_only((gap, 0.0), (first, second), (float("inf"), 1e12), buffer)
    width = np.hypot(first, second)
    weights = ndtr((np.array([gap, -gap]) + buffer) / width)

    np.testing.assert_allclose(arms.chances(), weights / weights.sum(), atol=ACCURACY)


@unhurried
@given(
    st.floats(-1.0, 1.0), powers(1e-4, 3.0), powers(2.01, 1e4), st.sampled_from([0.0, 0.05, 0.2])
)
def test_a_known_time_against_an_uncertain_one(
    gap: float, spread: float, degrees: float, buffer: float
) -> None:
    arms = timed_only((gap, 0.0), (spread, 0.0), (degrees, 3.0), buffer)
    weights = stdtr(degrees, (np.array([gap, -gap]) + buffer) / spread)

    np.testing.assert_allclose(arms.chances(), weights / weights.sum(), atol=1e-3)


# An independent lattice and the definition itself.


def counted(arms: Arms, points: int) -> FloatArray:
    """The definition, with CDFs counted on lattices."""
    alpha, beta, offset, spread, degrees = arms.arrays()
    scores = [
        offset[i] + lattice(alpha[i], beta[i], arms.scale, spread[i], degrees[i], points)
        for i in range(len(arms))
    ]
    weights = np.empty(len(arms))
    for arm, own in enumerate(scores):
        others = [score for index, score in enumerate(scores) if index != arm]
        below = [other.searchsorted(own + arms.buffer, side="right") for other in others]
        weights[arm] = (np.prod(below, axis=0) / float(points) ** len(others)).mean()
    chances: FloatArray = weights / weights.sum()
    return chances


@settings(unhurried, max_examples=30)
@given(any_arms(least_shape=0.2, max_arms=5))
def test_agrees_with_counting_on_a_lattice(arms: Arms) -> None:
    uncertain = replace(arms, spread=tuple(max(spread, 1e-3) for spread in arms.spread))

    np.testing.assert_allclose(uncertain.chances(), counted(uncertain, 2048), atol=2 * ACCURACY)


REGIMES = {
    "two, quality and time alike": arms_like([5.0, 30.0], [0.7, 0.6], [0.1, 0.05], buffer=0.02),
    "narrow against wide": arms_like(
        [1e5, 2.0, 1e3], [0.8, 0.6, 0.79], [1e-4, 3.0, 0.01], degrees=[1e4, 3.0, 40.0]
    ),
    "untried, spiked and timed": arms_like(
        [1.0, 1.0, 10.0, 300.0], [0.9, 0.5, 0.5, 0.8], [0.02, 0.2, 1e-3, 0.0], scale=1.0
    ),
    "only time": timed_only((-10.0, -10.3, -9.8), (1.1, 0.1, 0.4), (3.0, 50.0, 5.0), 0.1375),
    "known and uncertain times": timed_only((0.0, 0.05, -0.1), (0.0, 0.3, 0.05), (3.0,) * 3, 0.1),
    "eight of all kinds": many_arms(8, 3, scale=0.6, buffer=0.02, spreads=(1e-4, 0.3)),
    "twenty, no buffer": many_arms(20, 5, scale=0.8, buffer=0.0, spreads=(1e-3, 0.3)),
    "twenty, wide buffer": many_arms(20, 6, scale=0.1, buffer=0.2, spreads=(1e-3, 3.0)),
}


@pytest.mark.parametrize("arms", REGIMES.values(), ids=list(REGIMES))
def test_agrees_with_a_million_draws(arms: Arms) -> None:
    draws, batch = 1_000_000, 50_000
    alpha, beta, offset, spread, degrees = arms.arrays()
    rng = np.random.default_rng(20_240_501)
    size = (batch, len(arms))
    good_enough = np.zeros(len(arms))
    for _ in range(draws // batch):
        scores = offset + arms.scale * rng.beta(alpha, beta, size)
        scores += spread * rng.standard_t(degrees, size)
        good_enough += (scores >= scores.max(axis=1, keepdims=True) - arms.buffer).sum(axis=0)

    np.testing.assert_allclose(arms.chances(), good_enough / good_enough.sum(), atol=ACCURACY)


# Decided and degenerate choices.


def test_one_arm_is_certain() -> None:
    assert arms_like([2.0], [0.3], [0.5], buffer=0.1).chances().tolist() == [1.0]


def test_known_scores_share_within_the_buffer_whatever_the_rounding() -> None:
    arms = timed_only((0.4, 0.3, 0.1, 0.3 - 1e-12), (0.0,) * 4, (3.0,) * 4, buffer=0.1)

    assert arms.chances().tolist() == [0.5, 0.5, 0.0, 0.0]


def test_known_scores_that_tie_share_equally_without_buffer() -> None:
    arms = timed_only((0.1, 0.4, 0.4, 0.4 - 1e-12), (0.0,) * 4, (3.0,) * 4)

    assert arms.chances().tolist() == [0.0, 0.5, 0.5, 0.0]


def test_an_arm_that_cannot_be_good_enough_gets_exactly_zero() -> None:
    arms = arms_like([1e3] * 3, [0.9, 0.9, 0.1], [1e-3] * 3, degrees=[30.0] * 3, buffer=0.05)

    assert arms.chances()[2] == 0.0


def test_known_scores_leave_nothing_to_uncertain_ones_far_below() -> None:
    arms = timed_only((1.0, 0.0), (0.0, 1e-4), (3.0, 30.0), buffer=0.1)

    assert arms.chances().tolist() == [1.0, 0.0]


ODD = st.sampled_from([0.0, 5e-324, 1e-300, 1e-12, 1e-4, 0.1, 1.0, 1e30, 1e100])
ODD_SHAPE = st.sampled_from([1e-3, 0.05, 0.5, 1.0, 7.0, 1e6, 1e12, 1e16, 1e300])
ODD_DEGREES = st.sampled_from([2.0000001, 3.0, 1e6, 1e300, float("inf")])


@settings(unhurried, max_examples=200)
@given(
    st.lists(st.tuples(ODD_SHAPE, ODD_SHAPE, ODD, ODD, ODD_DEGREES), min_size=1, max_size=8),
    st.sampled_from([0.0, 5e-324, 1e-300, 1e-12, 0.1, 1.0]),
    ODD,
)
@example([(1e-3, 1e-3, 0.0, 0.0, 3.0), (7.0, 1e300, 0.0, 0.0, 3.0)], 5e-324, 0.0)
def test_odd_numbers_give_chances_or_refuse_a_shape(
    arms: list[tuple[float, ...]], scale: float, buffer: float
) -> None:
    alpha, beta, offset, spread, degrees = zip(*arms, strict=True)
    odd = Arms(alpha, beta, offset, scale, spread, degrees, buffer)
    try:
        total = float(odd.chances().sum())
    except QuadratureError:
        supported = all(0.05 <= shape <= 1e6 for shape in (*alpha, *beta))
        total = np.nan if supported else 1.0

    assert abs(total - 1.0) <= 1e-9


# What is refused.

GOOD = Arms((1.0,) * 3, (2.0,) * 3, (0.0,) * 3, 0.5, (0.1,) * 3, (3.0,) * 3, 0.1)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        *[(name, bad) for name in ("alpha", "beta") for bad in (0.0, -1.5, np.nan, np.inf)],
        *[("offset", bad) for bad in (np.nan, np.inf, -1e101)],
        *[("spread", bad) for bad in (-1e-9, np.nan, np.inf)],
        *[("degrees", bad) for bad in (2.0, -1.0, np.nan)],
    ],
)
def test_an_impossible_value_is_named(name: str, bad: float) -> None:
    column = (*getattr(GOOD, name)[:2], bad)

    got = re.escape(repr(float(bad)))
    with pytest.raises(ValueError, match=rf"{name} of arm 2 must be .*, got {got}"):
        GOOD.but(name, column).chances()


@pytest.mark.parametrize(
    ("name", "bad"),
    [("scale", -0.1), ("scale", 1.1), ("scale", np.nan), ("buffer", -1e-9), ("buffer", np.nan)],
)
def test_a_number_out_of_range_is_refused(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=rf"{name} must be in \[0, .*\], got {bad!r}"):
        GOOD.but(name, bad).chances()


@pytest.mark.parametrize("name", ["alpha", "beta", "offset", "spread", "degrees"])
def test_every_arm_needs_all_its_values(name: str) -> None:
    with pytest.raises(ValueError, match="one value per arm and at least one arm"):
        GOOD.but(name, (3.0, 3.0)).chances()


def test_no_arm_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one arm"):
        GOOD.reordered([]).chances()


def test_a_posterior_beyond_double_precision_is_refused_not_guessed() -> None:
    with pytest.raises(QuadratureError, match=r"Beta\(1e\+16, .* between 0.05 and 1e6"):
        replace(GOOD, alpha=(1.0, 1e16, 1.0)).chances()


def test_a_coarse_quadrature_is_noticed_and_repeated_finer(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = REGIMES["eight of all kinds"]
    expected = arms.chances()
    monkeypatch.setattr(race, "_ACCURACY", 1e-5)
    monkeypatch.setattr(race, "_PANEL_TOLERANCES", (1e-2,))
    with pytest.raises(QuadratureError, match=r"estimated error .* allowed 1e-05"):
        arms.chances()

    monkeypatch.setattr(race, "_PANEL_TOLERANCES", (1e-2, 1e-9))

    np.testing.assert_allclose(arms.chances(), expected, atol=1e-4)
