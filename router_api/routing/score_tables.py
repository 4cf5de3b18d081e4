"""Distribution functions (CDFs) of scores that add an uncertain quality and an uncertain time.

    S_i = scale * theta_i + spread_i * t_i,  independent theta_i ~ Beta and t_i ~ Student-t

The CDF of a sum is the CDF of one term averaged over the other: the wider term keeps its CDF, the
narrower one is averaged over. That is done once per arm, at quantiles of its score; a curve through
them is the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from router_api.routing.grids import BetaGrid, Rule, StudentGrid
from router_api.routing.panels import BoolArray, FloatArray

# Quantiles per table where all shapes are at least so large. Below 1/2 there is a spike at an end
# of the range, which takes more, and close to 0 nearly all mass is in spikes.
_QUANTILES = ((0.5, 41), (0.1, 81), (0.0, 161))
# The last of the even quantiles, as a standard normal deviate.
_OUTERMOST_QUANTILE = 4.0
# Time keeps its CDF from this multiple of the quality's standard deviation on. Below 1, as quality
# may have edges, which the few nodes of the time would not smooth.
_WIDE_TIME = 0.3
# Where time is averaged over, this part of its spread at either end of theta's range counts as one
# point: between two of its nodes a density may have no bound.
_END_PER_SPREAD = 0.25
_LARGEST_END = 0.05
# What lies within this part of the spread is one point to the eye of time.
_FINEST_PER_SPREAD = 0.01
# In place of no spread at all, where 0 / 0 would be no number.
_SMALLEST_SPREAD = float(np.finfo(np.float64).tiny)
# Steps of the golden ratio fill an interval most evenly, whatever their number.
_GOLDEN = (5.0**0.5 - 1.0) / 2.0


def tabulate(
    alpha: FloatArray, beta: FloatArray, scale: float, spread: FloatArray, degrees: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(n, m) points and the CDFs of the n scores there, both ascending, CDFs from 0 to 1.

    ``alpha``, ``beta`` > 0, 0 <= ``scale`` <= 1, ``spread`` >= 0, ``degrees`` > 2; at least one
    term of each arm has width. Between the points a monotone curve is within about 1e-3 of the CDF
    (typically 1e-4), next to a spike within 1e-2.

    Raises QuadratureError for shapes beyond double precision.
    """
    if scale == 0.0:  # any shapes will do, so let them be easy ones
        alpha, beta = np.ones_like(alpha), np.ones_like(beta)
    # Far from a distribution 0 and infinity are as good as any number.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        finest = _FINEST_PER_SPREAD * spread[:, None] / scale
        quality = BetaGrid.of(alpha[:, None], beta[:, None], finest)
        terms = _Terms(scale, spread[:, None], quality, StudentGrid.of(degrees[:, None]))
        shape = min(alpha.min(), beta.min())
        points = _quantiles(terms, next(count for least, count in _QUANTILES if shape >= least))
        cdf = np.empty_like(points)
        wide_time = spread >= _WIDE_TIME * scale * beta_moments(alpha, beta)[1]
        for rows, average in ((wide_time, _over_quality), (~wide_time, _over_time)):
            if rows.any():
                cdf[rows] = average(terms.only(rows), points[rows])
    cdf[:, 0], cdf[:, -1] = 0.0, 1.0
    np.clip(cdf, 0.0, 1.0, out=cdf)
    return points, np.maximum.accumulate(cdf, axis=1, out=cdf)


def beta_moments(alpha: FloatArray, beta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of Beta variables, for shapes of any size."""
    with np.errstate(over="ignore"):
        mean, complement = 1.0 / (1.0 + beta / alpha), 1.0 / (1.0 + alpha / beta)
        return mean, np.sqrt(mean * complement / (alpha + beta + 1.0))


@dataclass(frozen=True, slots=True)
class _Terms:
    """The two terms of n scores; ``spread`` is (n, 1)."""

    scale: float
    spread: FloatArray
    quality: BetaGrid
    time: StudentGrid

    def only(self, rows: BoolArray) -> _Terms:
        return _Terms(self.scale, self.spread[rows], self.quality.only(rows), self.time.only(rows))


def _quantiles(terms: _Terms, count: int) -> FloatArray:
    """(n, count) points near even quantiles of the scores, and the ends of what can matter.

    Quantiles of a lattice with one point in every cell of the two grids, staggered by golden
    sections so that points differ even if one of the terms has no width.
    """
    qualities, times = terms.quality.rule, terms.time.rule.sparser()
    quality, time = terms.scale * qualities.nodes, terms.spread * times.nodes
    down = np.arange(quality.shape[1] - 1)[:, None] * _GOLDEN % 1.0
    across = np.arange(time.shape[1] - 1) * _GOLDEN % 1.0
    lattice = quality[:, :-1, None] + np.diff(quality)[:, :, None] * across
    lattice += time[:, None, :-1] + np.diff(time)[:, None, :] * down
    mass = qualities.cell_masses()[:, :, None] * times.cell_masses()[:, None, :]

    n = len(lattice)
    lattice, mass = lattice.reshape(n, -1), mass.reshape(n, -1)
    order = lattice.argsort(axis=1) + (np.arange(n) * lattice.shape[1])[:, None]
    lattice, mass = lattice.take(order), mass.take(order)
    below = mass.cumsum(axis=1) - mass / 2.0
    p = ndtr(np.linspace(-_OUTERMOST_QUANTILE, _OUTERMOST_QUANTILE, count - 2))
    points = np.empty((n, count))
    points[:, 0], points[:, -1] = quality[:, 0] + time[:, 0], quality[:, -1] + time[:, -1]
    for row, of_row, scores in zip(points, below, lattice, strict=True):
        row[1:-1] = np.interp(p, of_row, scores)
    return points


def _over_quality(terms: _Terms, points: FloatArray) -> FloatArray:
    """CDFs of scores with a wide time: the CDF of the time, averaged over qualities."""
    rule = terms.quality.rule
    left = points[:, :, None] - terms.scale * rule.nodes[:, None, :]
    left /= terms.spread[:, :, None]
    return _averages(terms.time.cdf()(_flat(left)), rule)


def _over_time(terms: _Terms, points: FloatArray) -> FloatArray:
    """CDFs of scores with a wide quality: the CDF of the quality, averaged over times.

    What lies next to the ends of the range of theta is one point each, smoothed exactly.
    """
    alpha, beta = terms.quality.alpha, terms.quality.beta
    quality_cdf, time_cdf = terms.quality.cdf(), terms.time.cdf()
    end = np.minimum(_END_PER_SPREAD * terms.spread / terms.scale, _LARGEST_END)

    rule = terms.time.rule.sparser()
    left = points[:, :, None] - (terms.spread * rule.nodes)[:, None, :]
    left /= terms.scale
    between = _averages(quality_cdf(np.clip(_flat(left), end, 1.0 - end)), rule)

    def smoothed(theta: FloatArray) -> FloatArray:
        spread = np.maximum(terms.spread, _SMALLEST_SPREAD)
        return time_cdf((points - terms.scale * theta) / spread)

    low, high = quality_cdf(end), 1.0 - quality_cdf(1.0 - end)
    # Near an end the density is a power: its mean lies at shape / (shape + 1) of the way.
    low_mean, high_mean = end * alpha / (alpha + 1.0), 1.0 - end * beta / (beta + 1.0)
    return between + low * (smoothed(low_mean) - 1.0) + high * smoothed(high_mean)


def _flat(values: FloatArray) -> FloatArray:
    return values.reshape(len(values), -1)


def _averages(values: FloatArray, rule: Rule) -> FloatArray:
    """(n, k) from (n, k * nodes)."""
    n, nodes = rule.weights.shape
    averages: FloatArray = np.matmul(values.reshape(n, -1, nodes), rule.weights[:, :, None])
    return averages[:, :, 0]
