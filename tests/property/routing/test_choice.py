"""Thompson probabilities against closed forms, an independent quadrature and direct draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, expit

from router_api.routing import choice
from router_api.routing.choice import win_probabilities
from router_api.routing.errors import QuadratureError

FloatArray = NDArray[np.float64]
ACCURACY = 1e-4  # what win_probabilities promises
unhurried = settings(deadline=None)  # a busy machine is no failure


@dataclass(frozen=True)
class Arms:
    """Arguments of one call, as tuples so that Hypothesis can print and replay them."""

    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    offset: tuple[float, ...]
    scale: float = 1.0

    def win(self) -> FloatArray:
        return win_probabilities(*self.arrays(), self.scale)

    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return np.array(self.alpha), np.array(self.beta), np.array(self.offset)

    def reordered(self, order: Sequence[int]) -> Arms:
        def pick(values: tuple[float, ...]) -> tuple[float, ...]:
            return tuple(values[i] for i in order)

        return Arms(pick(self.alpha), pick(self.beta), pick(self.offset), self.scale)


def arms_like(
    masses: list[float], means: list[float], offsets: list[float], scale: float = 0.8
) -> Arms:
    return Arms(
        tuple(m * mean for m, mean in zip(masses, means, strict=True)),
        tuple(m * (1 - mean) for m, mean in zip(masses, means, strict=True)),
        tuple(offsets),
        scale,
    )


def many_arms(n: int, log10_masses: tuple[float, float], mean_spread: float, seed: int) -> Arms:
    rng = np.random.default_rng(seed)
    masses = 10 ** rng.uniform(*log10_masses, n)
    means = np.clip(0.65 + mean_spread * rng.uniform(-1, 1, n), 0.02, 0.98)
    offsets = mean_spread * rng.uniform(-0.3, 0.3, n)
    return arms_like(masses.tolist(), means.tolist(), offsets.tolist())


def shapes(low: float = 0.05, high: float = 1e6) -> st.SearchStrategy[float]:
    exponents = st.floats(np.log10(low), np.log10(high))
    return exponents.map(lambda exponent: float(10.0**exponent))


@st.composite
def any_arms(
    draw: st.DrawFn, low: float = 0.05, high: float = 1e6, max_arms: int = 32, min_arms: int = 1
) -> Arms:
    n = draw(st.integers(min_arms, max_arms))
    spread = draw(st.sampled_from([0.0, 1e-6, 0.01, 0.1, 1.0]))

    def column(values: st.SearchStrategy[float]) -> tuple[float, ...]:
        return tuple(draw(st.lists(values, min_size=n, max_size=n)))

    shape = shapes(low, high)
    offset = st.floats(-1.0, 1.0).map(lambda value: value * spread)
    scale = draw(st.sampled_from([1e-6, 0.1, 0.8, 1.0]))
    return Arms(column(shape), column(shape), column(offset), scale)


def reference(arms: Arms, quantiles_per_arm: int = 60) -> FloatArray:
    """P_i = integral over p of prod F_j(Q_i(p)): each arm on its own, so nothing telescopes.

    Gauss-Legendre with four nodes between all quantiles of all arms; for shapes of 0.5 and above,
    where scores as plain doubles are exact enough.
    """
    alpha, beta, offset = arms.arrays()
    p = expit(np.linspace(-16.0, 16.0, quantiles_per_arm))
    knots = offset[:, None] + arms.scale * betaincinv(alpha[:, None], beta[:, None], p)
    nodes, weights = np.polynomial.legendre.leggauss(4)
    wins = np.empty(len(alpha))
    for i in range(len(alpha)):
        theta = np.clip((knots.ravel() - offset[i]) / arms.scale, 0.0, 1.0)
        edges = np.unique(np.concatenate([[0.0, 1.0], betainc(alpha[i], beta[i], theta)]))
        width = np.diff(edges)[:, None]
        at = betaincinv(alpha[i], beta[i], edges[:-1, None] + width * (nodes + 1.0) / 2.0)
        others = np.ones_like(at)
        for j in range(len(alpha)):
            if j != i:
                shifted = at + (offset[i] - offset[j]) / arms.scale
                others *= betainc(alpha[j], beta[j], np.clip(shifted, 0.0, 1.0))
        wins[i] = float((others * width / 2.0 @ weights).sum())
    return wins


# Invariants over the whole supported range.


@unhurried
@given(any_arms())
def test_probabilities_sum_to_one_and_repeat_bit_for_bit(arms: Arms) -> None:
    probabilities = arms.win()

    assert probabilities.shape == (len(arms.alpha),)
    assert (probabilities >= 0.0).all()
    assert abs(float(probabilities.sum()) - 1.0) <= 1e-9
    assert probabilities.tobytes() == arms.win().tobytes()


@unhurried
@given(any_arms(max_arms=12), st.data())
def test_reordering_arms_reorders_probabilities(arms: Arms, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(arms.alpha))))

    np.testing.assert_allclose(arms.reordered(order).win(), arms.win()[order], atol=ACCURACY)


@unhurried
@given(any_arms(max_arms=12), st.data())
def test_a_higher_offset_never_lowers_an_arm_nor_raises_another(
    arms: Arms, data: st.DataObject
) -> None:
    raised = data.draw(st.integers(0, len(arms.alpha) - 1))
    by = data.draw(st.floats(1e-3, 1.0)) * arms.scale
    offset = list(arms.offset)
    offset[raised] += by

    change = Arms(arms.alpha, arms.beta, tuple(offset), arms.scale).win() - arms.win()

    assert change[raised] >= -ACCURACY
    assert (np.delete(change, raised) <= ACCURACY).all()


@unhurried
@given(any_arms(max_arms=6), st.integers(2, 5))
def test_identical_arms_are_equally_likely(arms: Arms, copies: int) -> None:
    order = list(range(len(arms.alpha))) + [0] * (copies - 1)

    probabilities = arms.reordered(order).win()

    alike = probabilities[[0, *range(len(arms.alpha), len(order))]]
    np.testing.assert_allclose(alike, alike[0], atol=1e-9)


@unhurried
@given(any_arms(min_arms=2, max_arms=2))
def test_two_arms_swap_when_success_and_failure_swap(arms: Arms) -> None:
    mirrored = Arms(arms.beta, arms.alpha, tuple(-o for o in arms.offset), arms.scale)

    np.testing.assert_allclose(mirrored.win(), arms.win()[::-1], atol=ACCURACY)


# Closed forms, which hold in the corners where no numeric reference can be trusted.


@unhurried
@given(st.lists(shapes(0.05, 1e4), min_size=1, max_size=32), st.sampled_from([0.0, 0.25, -1.0]))
@example([0.05] * 31 + [0.9], 0.25)
def test_power_laws_at_zero(alpha: list[float], offset: float) -> None:
    """theta_i ~ Beta(a_i, 1) has CDF x**a_i, so arm i wins with chance a_i / sum(a)."""
    n = len(alpha)

    probabilities = Arms(tuple(alpha), (1.0,) * n, (offset,) * n, 0.7).win()

    np.testing.assert_allclose(probabilities, np.array(alpha) / sum(alpha), atol=ACCURACY)


@unhurried
@given(st.tuples(shapes(0.05, 1e4), shapes(0.05, 1e4), shapes(0.05, 1e4)))
def test_power_laws_at_one(beta: tuple[float, float, float]) -> None:
    """With Beta(1, b_i) the largest theta is the smallest y = 1 - theta, and y has CDF y**b_i:
    P_i by inclusion and exclusion of the other two. All the mass may lie within 1e-16 of 1."""
    probabilities = Arms((1.0,) * 3, beta, (0.1,) * 3).win()

    for i, b in enumerate(beta):
        c, d = (other for j, other in enumerate(beta) if j != i)
        exact = 1 - b / (b + c) - b / (b + d) + b / (b + c + d)
        assert probabilities[i] == pytest.approx(exact, abs=ACCURACY)


@unhurried
@given(shapes(), shapes(), st.integers(1, 31))
@example(6e5, 4e5, 1)
@example(1e6, 0.05, 31)
def test_any_arm_among_untried_ones(alpha: float, beta: float, untried: int) -> None:
    """Against k uniform arms, Beta(a, b) wins with chance E[theta**k] = prod (a+j) / (a+b+j)."""
    arms = Arms((alpha, *[1.0] * untried), (beta, *[1.0] * untried), (0.0,) * (untried + 1))
    j = np.arange(untried)
    exact = float(np.prod((alpha + j) / (alpha + beta + j)))

    probabilities = arms.win()

    assert probabilities[0] == pytest.approx(exact, abs=ACCURACY)
    np.testing.assert_allclose(probabilities[1:], (1 - exact) / untried, atol=ACCURACY)


# An independent quadrature, for shapes of 0.5 and above with costs.


@settings(unhurried, max_examples=40)
@given(any_arms(low=0.5, high=1e5, max_arms=5))
def test_agrees_with_an_independent_quadrature(arms: Arms) -> None:
    expected = reference(arms)
    assume(abs(expected.sum() - 1.0) < 1e-6)  # the reference's own check

    np.testing.assert_allclose(arms.win(), expected, atol=ACCURACY)


@pytest.mark.parametrize(
    "arms",
    [
        arms_like([1e5, 3.0], [0.7, 0.6], [0.0, 0.05]),
        arms_like([1e5, 3.0, 3.0], [0.9, 0.5, 0.9], [-0.05, 0.1, 0.0]),
        arms_like([1e5, 1e5, 1e5], [0.7, 0.7003, 0.6995], [0.0, 0.0002, -0.0004]),
        arms_like([1e5, 1e2, 1e4, 2.0], [0.70, 0.68, 0.701, 0.5], [0.0, 0.02, 0.0, -0.1]),
        arms_like([2.0, 2.0], [0.5, 0.5], [1.0, 0.9]),
        many_arms(8, (0.5, 5.0), 0.2, seed=8),
        many_arms(16, (1.5, 3.0), 0.1, seed=16),
        many_arms(16, (5.0, 5.0), 0.003, seed=17),
        many_arms(32, (0.5, 5.0), 0.05, seed=32),
    ],
    ids=lambda arms: f"{len(arms.alpha)} arms, alpha {arms.alpha[0]:.3g}",
)
def test_agrees_with_an_independent_quadrature_on_hard_mixtures(arms: Arms) -> None:
    expected = reference(arms, quantiles_per_arm=40 if len(arms.alpha) < 16 else 16)

    assert abs(expected.sum() - 1.0) < 1e-5
    np.testing.assert_allclose(arms.win(), expected, atol=2e-5)


# Thompson sampling as it is defined: draw, and take the largest.


@pytest.mark.parametrize(
    "arms",
    [
        Arms((0.5, 3.0), (0.5, 2.0), (0.0, -0.05), 0.8),
        Arms((1e5, 2.0, 0.5), (4e4, 1.0, 0.5), (0.0, 0.03, -0.1), 0.7),
        Arms((70_000.0, 70_100.0), (30_000.0, 29_900.0), (0.001, 0.0), 1.0),
        arms_like([3.0, 10.0, 1e3, 1e5], [0.8, 0.75, 0.7, 0.65], [0.0, 0.0, 0.05, 0.08]),
        many_arms(8, (0.3, 4.0), 0.15, seed=3),
    ],
    ids=lambda arms: f"{len(arms.alpha)} arms, alpha {arms.alpha[0]:.3g}",
)
def test_agrees_with_a_million_thompson_draws(arms: Arms) -> None:
    draws, batch = 1_000_000, 50_000
    alpha, beta, offset = arms.arrays()
    rng = np.random.default_rng(20_240_501)
    wins = np.zeros(len(alpha))
    for _ in range(draws // batch):
        scores = arms.scale * rng.beta(alpha, beta, size=(batch, len(alpha))) + offset
        wins += np.bincount(scores.argmax(axis=1), minlength=len(alpha))

    probabilities = arms.win()

    sigma = np.sqrt(probabilities * (1 - probabilities) / draws)
    assert (np.abs(wins / draws - probabilities) <= 5 * sigma + ACCURACY).all()


# Decided choices, and what is refused.


def test_one_arm_is_certain() -> None:
    assert Arms((0.3,), (7.0,), (-0.5,)).win().tolist() == [1.0]


def test_an_arm_that_cannot_win_gets_exactly_zero() -> None:
    probabilities = Arms((900.0, 5.0, 100.0), (100.0, 5.0, 900.0), (0.0, 0.0, 0.0)).win()

    assert probabilities[2] == 0.0
    assert 0.0 < probabilities[1] < 0.01


def test_without_quality_the_best_offset_wins_and_ties_share() -> None:
    arms = Arms((9.0, 1.0, 1.0, 5.0), (1.0, 9.0, 1.0, 5.0), (0.1, 0.4, 0.4, 0.4 - 1e-12), 0.0)

    assert arms.win().tolist() == [0.0, 0.5, 0.5, 0.0]


@pytest.mark.parametrize("scale", [1e-3, 1e-12, 1e-300, 5e-324])
def test_a_vanishing_quality_weight_leaves_the_offsets_to_decide(scale: float) -> None:
    assert Arms((2.0, 8.0), (2.0, 2.0), (0.5, -0.5), scale).win().tolist() == [1.0, 0.0]


@pytest.mark.parametrize("bad", [0.0, -1.5, np.nan, np.inf])
@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_an_impossible_shape_is_named(name: str, bad: float) -> None:
    good, broken = (1.0, 1.0, 1.0), (1.0, 1.0, bad)
    arms = Arms(broken if name == "alpha" else good, broken if name == "beta" else good, good)

    with pytest.raises(ValueError, match=rf"{name} of arm 2 must be finite and > 0, got {bad!r}"):
        arms.win()


def test_an_offset_that_is_no_number_is_named() -> None:
    with pytest.raises(ValueError, match="offset of arm 0 must be finite, got nan"):
        Arms((1.0,), (1.0,), (float("nan"),)).win()


@pytest.mark.parametrize("scale", [-0.1, 1.1, float("nan")])
def test_a_scale_out_of_range_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=r"scale must be in \[0, 1\]"):
        Arms((1.0,), (1.0,), (0.0,), scale).win()


@pytest.mark.parametrize(
    "arms", [Arms((), (), ()), Arms((1.0, 1.0), (1.0,), (0.0, 0.0))], ids=["none", "ragged"]
)
def test_every_arm_needs_all_its_values(arms: Arms) -> None:
    with pytest.raises(ValueError, match="one value per arm and at least one arm"):
        arms.win()


@pytest.mark.parametrize("shape", [1e-3, 1e300])
def test_a_posterior_beyond_double_precision_is_refused_not_guessed(shape: float) -> None:
    with pytest.raises(QuadratureError, match=r"cannot be resolved .* between 0.05 and 1e6"):
        Arms((shape, 2.0), (shape, 3.0), (0.0, 0.0)).win()


def test_a_coarse_quadrature_is_noticed_and_repeated_finer(monkeypatch: pytest.MonkeyPatch) -> None:
    arms = many_arms(8, (0.5, 5.0), 0.2, seed=8)
    monkeypatch.setattr(choice, "_ACCURACY", 1e-6)
    monkeypatch.setattr(choice, "_PANEL_TOLERANCES", (1e-3,))
    with pytest.raises(QuadratureError, match=r"estimated error .* allowed 1e-06"):
        arms.win()

    monkeypatch.setattr(choice, "_PANEL_TOLERANCES", (1e-3, 1e-9))

    np.testing.assert_allclose(arms.win(), reference(arms), atol=1e-6)
