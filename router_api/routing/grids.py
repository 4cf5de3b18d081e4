"""Beta and Student-t variables on even grids: nodes to average over, and curves for their CDFs.

The trapezoidal rule converges exponentially on an even grid of a coordinate in which the density is
smooth and light-tailed (Trefethen and Weideman, SIAM Review 56, 2014). For a Beta variable that is
its logit, in which no shape is singular at an end. For Student's t it is Wallace's normalising
transformation (Annals of Mathematical Statistics 30, 1959), in which any t is nearly standard
normal. As the density is the slope of the CDF, cubics give it between the nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaln, expit, gammaln, psi, stdtr, zeta

from router_api.routing.curves import EvenCurves
from router_api.routing.errors import QuadratureError
from router_api.routing.panels import BoolArray, FloatArray

_NODES = 29
# A rule needs fewer nodes than a curve: a sparser one has every so many of them.
_STRIDE = 2
# Student's t ends at this standard normal deviate, a tail of 3e-7.
_OUTERMOST = 5.0
# From here on it is normal to nine digits, while its own functions lose some.
_MOST_DEGREES = 1e9
# A Beta variable is looked for within so many standard deviations of its logit's mean, and kept
# where its density matters.
_LOGIT_DEVIATIONS = 8.0
# Doubles do not tell what is closer to 1 from 1.
_FINEST = 2.0**-52
# From here on beyond its mode the density of a logit falls like exp(-shape * distance), or is none.
_LOGITS_TO_POWER_LAW = 5.0
_SCAN_NODES = 64
_NEGLIGIBLE = 1e-7
# Masses on a grid must sum to 1 as well as this, or doubles do not resolve the distribution.
_RESOLUTION = 1e-3


@dataclass(frozen=True, slots=True)
class Rule:
    """(n, m) nodes of n variables, ascending, and the masses they stand for, 1 together."""

    nodes: FloatArray
    weights: FloatArray

    def only(self, rows: BoolArray) -> Rule:
        return Rule(self.nodes[rows], self.weights[rows])

    def sparser(self) -> Rule:
        """The rule with a wider step."""
        weights = self.weights[:, ::_STRIDE]
        return Rule(self.nodes[:, ::_STRIDE], weights / weights.sum(axis=1, keepdims=True))

    def cell_masses(self) -> FloatArray:
        """(n, m - 1) masses between nodes: half of each, and all that the outermost stand for."""
        masses = self.weights[:, :-1] + self.weights[:, 1:]
        masses[:, 0] += self.weights[:, 0]
        masses[:, -1] += self.weights[:, -1]
        return masses / 2.0


@dataclass(frozen=True, slots=True)
class BetaGrid:
    """n Beta variables on even grids of their logits. Parameters are (n, 1)."""

    alpha: FloatArray
    beta: FloatArray
    origin: FloatArray
    step: FloatArray
    slopes: FloatArray
    rule: Rule

    @classmethod
    def of(cls, alpha: FloatArray, beta: FloatArray, finest: FloatArray) -> BetaGrid:
        """``finest``: distance from 0 or 1 below which values need not be told apart.

        Raises QuadratureError for shapes beyond double precision.
        """
        log_total = betaln(alpha, beta)

        def density(logit: FloatArray) -> FloatArray:
            rest = np.log1p(np.exp(-np.abs(logit)))
            log_theta = np.minimum(logit, 0.0) - rest
            log_complement = np.minimum(-logit, 0.0) - rest
            return np.asarray(np.exp(alpha * log_theta + beta * log_complement - log_total))

        low, high = _where_it_matters(alpha, beta, finest, density)
        step = (high - low) / (_NODES - 1)
        logit = low + step * np.arange(_NODES)
        slopes = density(logit) * step
        weights = slopes.copy()
        # As if the grid went on for ever, where the density falls like exp(-shape * distance): the
        # geometric series of what follows an end is put there.
        weights[:, :1] /= -np.expm1(-alpha * step)
        weights[:, -1:] /= -np.expm1(-beta * step)
        total = weights.sum(axis=1, keepdims=True)
        _require_resolved(total, alpha, beta)
        return cls(alpha, beta, low, step, slopes, Rule(expit(logit), weights / total))

    def only(self, rows: BoolArray) -> BetaGrid:
        return BetaGrid(
            self.alpha[rows],
            self.beta[rows],
            self.origin[rows],
            self.step[rows],
            self.slopes[rows],
            self.rule.only(rows),
        )

    def cdf(self) -> Callable[[FloatArray], FloatArray]:
        """CDFs as a function of (n, k) values in [0, 1]."""
        at_nodes: FloatArray = np.asarray(
            betainc(self.alpha, self.beta, self.rule.nodes), np.float64
        )
        curves = EvenCurves.through(self.origin, self.step, at_nodes, self.slopes)
        return lambda theta: curves.at(np.log(theta / (1.0 - theta)))


@dataclass(frozen=True, slots=True)
class StudentGrid:
    """n Student-t variables on an even grid of z = sqrt(log(1 + t^2 / degrees) / curvature), with
    the sign of t. Parameters are (n, 1)."""

    degrees: FloatArray
    curvature: FloatArray
    slopes: FloatArray
    rule: Rule

    @classmethod
    def of(cls, degrees: FloatArray) -> StudentGrid:
        """Any ``degrees`` > 2, infinitely many too."""
        degrees = np.minimum(degrees, _MOST_DEGREES)
        curvature = ((8.0 * degrees + 3.0) / (8.0 * degrees + 1.0)) ** 2 / degrees
        z = np.linspace(-_OUTERMOST, _OUTERMOST, _NODES)
        t = np.sign(z) * np.sqrt(degrees * np.expm1(curvature * z * z))
        # The density of t by dt/dz = degrees * curvature * exp(curvature * z^2) * z / t; at 0 the
        # last of these factors is a limit.
        z_by_t = np.where(z == 0.0, 1.0 / np.sqrt(degrees * curvature), z / t)
        log_density = gammaln((degrees + 1.0) / 2.0) - gammaln(degrees / 2.0)
        log_density = log_density - curvature * z * z * (degrees - 1.0) / 2.0
        slopes = np.exp(log_density) * np.sqrt(degrees / np.pi) * curvature * z_by_t * (z[1] - z[0])
        return cls(degrees, curvature, slopes, Rule(t, slopes / slopes.sum(axis=1, keepdims=True)))

    def only(self, rows: BoolArray) -> StudentGrid:
        return StudentGrid(
            self.degrees[rows], self.curvature[rows], self.slopes[rows], self.rule.only(rows)
        )

    def cdf(self) -> Callable[[FloatArray], FloatArray]:
        """CDFs as a function of (n, k) values."""
        origin = np.full_like(self.degrees, -_OUTERMOST)
        step = np.full_like(self.degrees, 2.0 * _OUTERMOST / (_NODES - 1))
        at_nodes: FloatArray = np.asarray(stdtr(self.degrees, self.rule.nodes), np.float64)
        curves = EvenCurves.through(origin, step, at_nodes, self.slopes)

        def at(t: FloatArray) -> FloatArray:
            z = t * t
            z /= self.degrees
            np.log1p(z, out=z)
            z /= self.curvature
            np.sqrt(z, out=z)
            return curves.at(np.copysign(z, t, out=z))

        return at


def _where_it_matters(
    alpha: FloatArray,
    beta: FloatArray,
    finest: FloatArray,
    density: Callable[[FloatArray], FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """(n, 1) each: the lowest and the highest logit that the grids should have."""
    mean, mode = psi(alpha) - psi(beta), np.log(alpha) - np.log(beta)
    reach = _LOGIT_DEVIATIONS * np.sqrt(zeta(2.0, alpha) + zeta(2.0, beta))
    farthest = -np.log(np.maximum(finest, _FINEST))
    low = np.maximum(mean - reach, np.minimum(mode - _LOGITS_TO_POWER_LAW, -farthest))
    high = np.minimum(mean + reach, np.maximum(mode + _LOGITS_TO_POWER_LAW, farthest))
    low, high = np.maximum(low, np.log(_FINEST)), np.minimum(high, -np.log(_FINEST))
    step = (high - low) / (_SCAN_NODES - 1)
    matters = density(low + step * np.arange(_SCAN_NODES)) * step > _NEGLIGIBLE
    first = np.maximum(matters.argmax(axis=1) - 1, 0)
    last = np.minimum(_SCAN_NODES - matters[:, ::-1].argmax(axis=1), _SCAN_NODES - 1)
    return low + step * first[:, None], low + step * last[:, None]


def _require_resolved(total: FloatArray, alpha: FloatArray, beta: FloatArray) -> None:
    worst = int(np.argmax(np.abs(total - 1.0)))
    if not abs(total[worst, 0] - 1.0) <= _RESOLUTION:
        raise QuadratureError(
            f"Beta({float(alpha[worst, 0])!r}, {float(beta[worst, 0])!r}) cannot be resolved in"
            " double precision; use a prior and a maximum mass that keep every shape between 0.05"
            " and 1e6"
        )
