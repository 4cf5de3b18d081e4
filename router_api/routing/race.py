"""The quadrature behind blend.py: chances of uncertain scores to be close enough to the largest.

As in choice.py: panels along the axis of scores, on which distribution functions (CDFs) are
quadratics, split until one and two quadratics agree. Here each arm has two CDFs in a panel, its own
at the scores and the one that the other arms are measured by, at the scores and a buffer more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router_api.routing.curves import Curves
from router_api.routing.errors import QuadratureError
from router_api.routing.panels import FloatArray, panel_integrals, products_of_others

# Error allowed per panel, then the second attempt. There are 40 to 200 panels, most of them far
# better than asked.
_PANEL_TOLERANCES = (1e-5, 1e-7)
# What chances() promises; the tables of the CDFs add their own error.
_ACCURACY = 1e-3
# First knots: this many together, but enough for each arm to show both tails and its middle.
_FIRST_KNOTS = 32
_MIN_KNOTS_PER_ARM = 4
_QUARTERS = np.array([0.25, 0.5, 0.75])
# Richardson: two half-width Simpson panels are 15 times closer to the truth than to one panel.
_SIMPSON_GAIN = 15.0
# Each round divides panels by four. One this narrow, as a part of the scores in it, cannot be
# divided: two CDFs jump in the same place, and there a tie is as good an answer as any.
_NARROWEST_PANEL = 1e-13
_MAX_ROUNDS = 30


@dataclass(frozen=True, slots=True)
class Race:
    """Scores of n arms with their CDFs, and how far below the largest is good enough."""

    curves: Curves
    buffer: float
    floor: float
    """Below this no score is good enough."""

    def none_above(self, scores: FloatArray) -> FloatArray:
        """(len(scores),): chance that all arms are at or below each score."""
        chance: FloatArray = self.curves.at(scores).prod(axis=0)
        return chance

    def chances(self, rest: float, several: bool) -> FloatArray:
        """(n,): chance of each arm to be good enough, within 1e-3.

        ``rest``: the chances of arms outside the race together. ``several``: whether two can be
        good enough at once. If not, all chances sum to 1, else to 1 or more; that is checked.

        Raises QuadratureError if the accuracy cannot be reached.
        """
        knots = self._first_knots()
        for tolerance in _PANEL_TOLERANCES:
            chances, error = self._integrate(knots, tolerance)
            total = rest + float(chances.sum())
            missing = 1.0 - total if several else abs(1.0 - total)
            if error <= _ACCURACY and missing <= _ACCURACY:
                # Quadratics may dip below zero by less than the tolerance; a chance may not.
                return np.maximum(chances, 0.0)
        raise QuadratureError(
            f"chances to be good enough sum to {total!r}, not {'1 or more' if several else '1'},"
            f" with an estimated error of {error:.1e}, allowed {_ACCURACY:.0e}; use a prior and a"
            " maximum mass that keep every shape between 0.05 and 1e6"
        )

    def _columns(self, scores: FloatArray) -> FloatArray:
        """(1 or 2, n, len(scores)): first the arms' CDFs at the scores, last those at the largest
        scores beside which these are good enough."""
        if self.buffer == 0.0:
            return self.curves.at(scores)[None]
        both = self.curves.at(np.concatenate([scores, scores + self.buffer]))
        return both.reshape(len(both), 2, -1).swapaxes(0, 1)

    def _first_knots(self) -> FloatArray:
        """Ascending scores from none to all of the mass that can be good enough, with points of
        each arm where either of its CDFs rises: none can jump unseen between two knots."""
        points = self.curves.points
        n, last = len(points), points.shape[1] - 1
        per_arm = max(_MIN_KNOTS_PER_ARM, -(-_FIRST_KNOTS // n))
        first = np.minimum((points < self.floor).sum(axis=1, keepdims=True), last)
        index = first + (last - first) * (np.arange(per_arm) + 0.5) / per_arm
        inner = np.take_along_axis(points, index.astype(np.intp), axis=1).ravel()
        if self.buffer > 0.0:
            inner = np.concatenate([inner, inner - self.buffer])
        # A CDF may jump at its first point, so the first panel starts a step before.
        start = max(self.floor, float(np.nextafter(points.min(), -np.inf)))
        end = float(points.max())
        ends = start, float(np.nextafter(start, np.inf)), end
        knots: FloatArray = np.unique(np.clip(np.append(inner, ends), start, end))
        return knots

    def _integrate(self, knots: FloatArray, panel_tolerance: float) -> tuple[FloatArray, float]:
        """Chance of each arm, and the estimated absolute error of the worst one."""
        columns = self._columns(knots)
        left, right = knots[:-1], knots[1:]
        start, end = columns[..., :-1], columns[..., 1:]
        total, error = np.zeros(columns.shape[1]), 0.0
        for _ in range(_MAX_ROUNDS):
            doubt = _doubt(start, end)
            narrow = right - left <= _NARROWEST_PANEL * np.maximum(np.abs(left), np.abs(right))
            light = doubt <= panel_tolerance
            error += float(doubt[light & ~narrow].sum())
            split = ~(light | narrow)
            total += _straight(start[..., ~split], end[..., ~split])
            left, right, start, end = left[split], right[split], start[..., split], end[..., split]
            if len(left) == 0:
                return total, error

            inner = left[:, None] + (right - left)[:, None] * _QUARTERS
            middle = self._columns(inner.ravel()).reshape(*start.shape, len(_QUARTERS))
            nodes = np.concatenate([start[..., None], middle, end[..., None]], axis=-1)
            coarse = _curved(nodes[..., 0], nodes[..., 2], nodes[..., 4])
            halves = _curved(nodes[..., 0:3:2], nodes[..., 1:4:2], nodes[..., 2:5:2])
            fine = halves.sum(axis=-1)
            panel_error = np.abs(fine - coarse).max(axis=0) / _SIMPSON_GAIN
            done = panel_error <= panel_tolerance
            total += fine[:, done].sum(axis=1)
            error += float(panel_error[done].sum())
            scores = np.concatenate([left[:, None], inner, right[:, None]], axis=1)[~done]
            left, right = scores[:, :-1].ravel(), scores[:, 1:].ravel()
            nodes = nodes[..., ~done, :]
            start = nodes[..., :-1].reshape(*nodes.shape[:2], -1)
            end = nodes[..., 1:].reshape(*nodes.shape[:2], -1)
        # Out of rounds: what is left is bounded, and the caller decides.
        return total + _straight(start, end), error + float(_doubt(start, end).sum())


def _doubt(start: FloatArray, end: FloatArray) -> FloatArray:
    """(panels,): how wrong the integral of any arm over a panel can be. However CDFs rise there, it
    lies between the arm's rise times the others' product at the start and at the end."""
    change = products_of_others(end[-1]) - products_of_others(start[-1])
    doubt: FloatArray = ((end[0] - start[0]) * change).max(axis=0)
    return doubt


def _curved(start: FloatArray, middle: FloatArray, end: FloatArray) -> FloatArray:
    """(n, ...): integrals over panels from their columns."""
    return panel_integrals((start[0], middle[0], end[0]), (start[-1], middle[-1], end[-1]))


def _straight(start: FloatArray, end: FloatArray) -> FloatArray:
    """(n,): the same for panels that need no middle, added up."""
    total: FloatArray = _curved(start, (start + end) / 2.0, end).sum(axis=1)
    return total
