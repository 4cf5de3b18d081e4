"""From posteriors to exact Thompson probabilities, by adaptive quadrature instead of by sampling.

Arm i scores ``scale * theta_i + offset_i`` with independent ``theta_i ~ Beta(alpha_i, beta_i)``.
With F_i the distribution function (CDF) of its score, arm i has the largest score with chance

    P_i = integral of  prod_{j != i} F_j  dF_i   over the score axis.

Only CDF values are used, never densities: for shapes below 1 a density is infinite at the ends of
its range. The integral does not depend on the parameter that runs along the axis, so a panel
between two points of the axis is described by its columns of CDF values alone: each F_i is taken
as a quadratic in t in [0, 1], and the product is integrated by Gauss-Legendre. The integrands add
up to the derivative of prod F, so the probabilities of all arms together telescope to 1.

The first panels lie between quantiles of every arm, so that no arm, however concentrated, can
rise unseen between two knots. A panel is split in four until one and two quadratics agree
(Richardson's estimate for Simpson's rule). Panels in which the largest score falls with
negligible chance are not split at all: work goes where the choice is decided.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv, expit

from router_api.routing.errors import QuadratureError
from router_api.routing.panels import FloatArray as FloatArray
from router_api.routing.panels import IntArray, panel_integrals, products_of_others

# Error allowed per panel, then the second attempt. A table has 30 to 60 panels; with 1e-6 the
# worst of several thousand random tables is 3e-5 off, a third of what a caller may rely on.
_PANEL_TOLERANCES = (1e-6, 1e-8)
# What win_probabilities promises, for the estimated error and for the raw sum's distance from 1.
_ACCURACY = 1e-4
# An arm that can only win from a tail as small as this gets probability 0.
_NEGLIGIBLE_TAIL = 1e-9
# First knots: this many together, but enough for each arm to show both tails and its middle.
_FIRST_KNOTS = 24
_MIN_KNOTS_PER_ARM = 3
_OUTERMOST_KNOT_LOGIT = 9.0
# Each round divides panels by four: ten reach the resolution of doubles. Without a limit a jump
# of a CDF (a shape so small that its quantiles underflow) would be split for ever.
_MAX_ROUNDS = 10
_SHAPE_ADVICE = "use a prior and a maximum mass that keep every shape between 0.05 and 1e6"
_QUARTERS = np.array([0.25, 0.5, 0.75])
# Richardson: two half-width Simpson panels are 15 times closer to the truth than to one panel.
_SIMPSON_GAIN = 15.0


def win_probabilities(
    alpha: FloatArray, beta: FloatArray, offset: FloatArray, scale: float
) -> FloatArray:
    """Probability of each arm to have the largest ``scale * theta + offset``, theta ~ Beta.

    ``alpha``, ``beta``: posterior shapes, > 0, meant for 0.05 to 1e6 in any mixture.
    ``offset``: what cost and latency add to each arm's score, finite. ``scale``: weight of the
    learned quality, in [0, 1]; at 0 the largest offset wins and exact ties share equally.

    Returns probabilities that sum to 1 within 1e-9, each within 1e-4 of the truth (typically
    1e-6). An arm that could win only with a chance near 1e-9 gets exactly 0. A pure function of
    its arguments: no randomness, no clock.

    Raises ValueError for arrays of different or zero length and for values out of range, with the
    arm's index and value; QuadratureError if the accuracy cannot be reached.
    """
    _require_valid(alpha, beta, offset, scale)
    if scale == 0.0:
        best = (offset == offset.max()).astype(np.float64)
        shares: FloatArray = best / best.sum()
        return shares
    with np.errstate(over="ignore"):  # offsets too far apart for a tiny scale: one arm just wins
        shift = (offset[:, None] - offset[None, :]) / scale
    cdf_at_half: FloatArray = np.asarray(betainc(alpha, beta, 0.5), dtype=np.float64)
    scores = _Scores(alpha, beta, cdf_at_half, shift)

    # Every row rises along the axis, so its largest value belongs to the rightmost of the points.
    lower_ends = scores.cdfs_at_quantiles(
        np.arange(len(alpha)), np.full(len(alpha), _NEGLIGIBLE_TAIL)
    )
    at_start = lower_ends.max(axis=1)
    contenders = np.flatnonzero(at_start < 1.0 - _NEGLIGIBLE_TAIL)
    if len(contenders) == 0:
        raise QuadratureError(
            "each arm is surely below another, so doubles do not resolve some of their quantiles;"
            f" alpha={alpha.tolist()}, beta={beta.tolist()}; {_SHAPE_ADVICE}"
        )
    probabilities = np.zeros(len(alpha))
    if len(contenders) == 1:
        probabilities[contenders] = 1.0
    else:
        probabilities[contenders] = _checked_masses(scores.only(contenders), at_start[contenders])
    return probabilities


@dataclass(frozen=True, slots=True)
class _Scores:
    """Score distributions of n arms. A point of the score axis is named (arm, p): the arm's
    p-quantile, which stays exact where the score itself would round to an end of the range."""

    alpha: FloatArray
    beta: FloatArray
    cdf_at_half: FloatArray
    shift: FloatArray
    """(n, n): adding ``shift[i, j]`` takes a theta of arm i to the theta of arm j that scores the
    same."""

    def only(self, arms: IntArray) -> _Scores:
        return _Scores(
            self.alpha[arms],
            self.beta[arms],
            self.cdf_at_half[arms],
            self.shift[np.ix_(arms, arms)],
        )

    def cdfs_at_quantiles(self, arm: IntArray, p: FloatArray) -> FloatArray:
        """(n, len(arm)): the CDF of every arm at the point (arm[k], p[k])."""
        theta, complement = self._quantiles(arm, p)
        shift = self.shift[arm].T
        theta, complement = theta + shift, complement - shift
        # Evaluate from the nearer end: theta near 1 has lost the digits that 1 - theta still has.
        low = theta < 0.5
        alpha, beta = self.alpha[:, None], self.beta[:, None]
        tail = betainc(
            np.where(low, alpha, beta),
            np.where(low, beta, alpha),
            np.maximum(np.where(low, theta, complement), 0.0),
        )
        return np.where(low, tail, 1.0 - tail)

    def _quantiles(self, arm: IntArray, p: FloatArray) -> tuple[FloatArray, FloatArray]:
        """theta and 1 - theta at the p-quantile of each arm, both to full relative precision."""
        alpha, beta = self.alpha[arm], self.beta[arm]
        low = p <= self.cdf_at_half[arm]
        nearer = betaincinv(
            np.where(low, alpha, beta), np.where(low, beta, alpha), np.where(low, p, 1.0 - p)
        )
        farther = 1.0 - nearer
        return np.where(low, nearer, farther), np.where(low, farther, nearer)


def _checked_masses(scores: _Scores, at_start: FloatArray) -> FloatArray:
    """Normalised probabilities, after the check that the quadrature really reached them."""
    knots = _first_knots(scores, at_start)
    for tolerance in _PANEL_TOLERANCES:
        masses, error = _integrate(scores, knots, tolerance)
        total = float(masses.sum())
        if error <= _ACCURACY and abs(total - 1.0) <= _ACCURACY:
            # Quadratics may dip below zero by less than the tolerance; a probability may not.
            probabilities: FloatArray = np.maximum(masses, 0.0)
            probabilities /= probabilities.sum()
            return probabilities
    raise QuadratureError(
        f"choice probabilities sum to {total!r} before normalisation, estimated error {error:.1e},"
        f" allowed {_ACCURACY:.0e}; alpha={scores.alpha.tolist()}, beta={scores.beta.tolist()};"
        f" {_SHAPE_ADVICE}"
    )


def _first_knots(scores: _Scores, at_start: FloatArray) -> FloatArray:
    """(n, knots) CDF columns in ascending order, from all 0 to all 1.

    Each arm contributes its own quantiles above ``at_start``, evenly spaced in logit(p): dense in
    both tails, where a wide arm and a narrow one differ most.
    """
    n = len(at_start)
    per_arm = max(_MIN_KNOTS_PER_ARM, -(-_FIRST_KNOTS // n))
    spread = expit(np.linspace(-_OUTERMOST_KNOT_LOGIT, _OUTERMOST_KNOT_LOGIT, per_arm))
    p = (at_start[:, None] + (1.0 - at_start[:, None]) * spread).ravel()
    arm = np.repeat(np.arange(n), per_arm)
    inner = scores.cdfs_at_quantiles(arm, p)
    _require_resolved(scores, arm, inner[arm, np.arange(len(p))] - p)
    knots = np.concatenate([np.zeros((n, 1)), inner, np.ones((n, 1))], axis=1)
    # All rows rise together, so sorting each row alone sorts the columns.
    knots.sort(axis=1)
    return knots


def _require_resolved(scores: _Scores, arm: IntArray, miss: FloatArray) -> None:
    """Refuse an arm whose quantiles are too crowded for doubles: its CDF would be a staircase, on
    which coarse and fine panels agree about a wrong answer."""
    worst = int(np.argmax(np.abs(miss)))
    if not abs(miss[worst]) <= _ACCURACY:
        alpha, beta = float(scores.alpha[arm[worst]]), float(scores.beta[arm[worst]])
        raise QuadratureError(
            f"quantiles of Beta({alpha!r}, {beta!r}) cannot be resolved in double precision;"
            f" {_SHAPE_ADVICE}"
        )


def _integrate(
    scores: _Scores, knots: FloatArray, panel_tolerance: float
) -> tuple[FloatArray, float]:
    """P_i for every arm, not normalised, and the estimated absolute error of the worst one."""
    n = len(knots)
    total, error = np.zeros(n), 0.0
    left, right = knots[:, :-1], knots[:, 1:]
    for _ in range(_MAX_ROUNDS):
        # No arm can win more in a panel than prod F rises there.
        rise = _rise(left, right)
        negligible = rise <= panel_tolerance
        total += _linear_panels(left[:, negligible], right[:, negligible])
        error += float(rise[negligible].sum())
        left, right = left[:, ~negligible], right[:, ~negligible]
        if left.shape[1] == 0:
            return total, error

        nodes = _five_nodes(scores, left, right)
        coarse = _quadratic_panels(nodes[..., 0], nodes[..., 2], nodes[..., 4])
        halves = _quadratic_panels(nodes[..., 0:3:2], nodes[..., 1:4:2], nodes[..., 2:5:2])
        fine = halves.sum(axis=-1)
        panel_error = np.abs(fine - coarse).max(axis=0) / _SIMPSON_GAIN
        done = panel_error <= panel_tolerance
        total += fine[:, done].sum(axis=1)
        error += float(panel_error[done].sum())
        left = nodes[:, ~done, :-1].reshape(n, -1)
        right = nodes[:, ~done, 1:].reshape(n, -1)
    # Out of rounds: what is left is bounded, and the caller decides.
    return total + _linear_panels(left, right), error + float(_rise(left, right).sum())


def _five_nodes(scores: _Scores, left: FloatArray, right: FloatArray) -> FloatArray:
    """(n, panels, 5): CDFs at the ends and the quarter points of each panel.

    A panel is divided along the CDF of the arm that most likely wins in it.
    """
    n, panels = left.shape
    width = right - left
    leader = np.argmax(width * products_of_others((left + right) / 2.0), axis=0)
    column = np.arange(panels)
    p = left[leader, column, None] + width[leader, column, None] * _QUARTERS
    inner = scores.cdfs_at_quantiles(np.repeat(leader, len(_QUARTERS)), p.ravel())
    inner = inner.reshape(n, panels, len(_QUARTERS))
    low, high = left[:, :, None], right[:, :, None]
    # Rounding in a quantile may step over an end; a CDF never falls.
    return np.concatenate([low, np.clip(inner, low, high), high], axis=2)


def _quadratic_panels(start: FloatArray, middle: FloatArray, end: FloatArray) -> FloatArray:
    """(n, ...): integral over each panel of the others' product against each arm's CDF."""
    cdf = start, middle, end
    return panel_integrals(cdf, cdf)


def _linear_panels(left: FloatArray, right: FloatArray) -> FloatArray:
    """(n,): the same, for panels too light to need their middle, added up."""
    total: FloatArray = _quadratic_panels(left, (left + right) / 2.0, right).sum(axis=1)
    return total


def _rise(left: FloatArray, right: FloatArray) -> FloatArray:
    """Chance that the largest score falls into each panel."""
    rise: FloatArray = right.prod(axis=0) - left.prod(axis=0)
    return rise


def _require_valid(alpha: FloatArray, beta: FloatArray, offset: FloatArray, scale: float) -> None:
    if not len(alpha) == len(beta) == len(offset) > 0:
        raise ValueError(
            f"alpha, beta and offset must have one value per arm and at least one arm,"
            f" got {len(alpha)}, {len(beta)} and {len(offset)} values"
        )
    if not 0.0 <= scale <= 1.0:
        raise ValueError(f"scale must be in [0, 1], got {scale!r}")
    for name, values, valid, need in (
        ("alpha", alpha, (alpha > 0.0) & np.isfinite(alpha), "finite and > 0"),
        ("beta", beta, (beta > 0.0) & np.isfinite(beta), "finite and > 0"),
        ("offset", offset, np.isfinite(offset), "finite"),
    ):
        if not valid.all():
            arm = int(np.argmin(valid))
            raise ValueError(
                f"{name} of arm {arm} must be {need}, got {float(values[arm])!r};"
                " leave this arm out or repair its posterior"
            )
