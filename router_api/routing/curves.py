"""Monotone curves of piecewise cubics, one per arm, that give a distribution between its points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from router_api.routing.panels import FloatArray, IntArray

# Points may coincide where a distribution jumps: the curve then rises over less than any double
# next to them can show, instead of dividing by 0.
_SMALLEST_WIDTH = float(np.finfo(np.float64).tiny)
# Slopes up to this multiple of both neighbouring secants keep a cubic monotone (Fritsch and
# Carlson, SIAM Journal on Numerical Analysis 17, 1980).
_MONOTONE_SLOPE = 3.0


@dataclass(frozen=True, slots=True)
class Curves:
    """n curves through points of their own, read at the same places; level beyond their ends."""

    points: FloatArray
    width: FloatArray
    cubics: _Cubics

    @classmethod
    def through(cls, points: FloatArray, values: FloatArray) -> Curves:
        """Curves through (n, m) points and values, both ascending along the last axis.

        A slope is that of the parabola through a point and its neighbours, lowered where the curve
        would not be monotone.
        """
        width = np.maximum(np.diff(points), _SMALLEST_WIDTH)
        secant = np.diff(values) / width
        before, after = secant[:, :-1], secant[:, 1:]
        share = width[:, 1:] / (width[:, :-1] + width[:, 1:])
        slope = np.zeros_like(points)
        slope[:, 1:-1] = np.minimum(
            share * before + (1.0 - share) * after, _MONOTONE_SLOPE * np.minimum(before, after)
        )
        cubics = _Cubics.between(values, slope[:, :-1] * width, slope[:, 1:] * width)
        return cls(points, width, cubics)

    def at(self, places: FloatArray) -> FloatArray:
        """(n, len(places)): the value of every curve at every place."""
        n, intervals = self.width.shape
        found = np.stack([row.searchsorted(places, side="right") for row in self.points])
        interval: IntArray = np.clip(found - 1, 0, intervals - 1)
        interval += (np.arange(n) * intervals)[:, None]
        way = places - self.points[:, :-1].take(interval)
        with np.errstate(over="ignore"):  # far beyond a jump is beyond it
            way /= self.width.take(interval)
        np.clip(way, 0.0, 1.0, out=way)
        way[found > intervals] = 1.0  # the last points may coincide
        return self.cubics.at(interval, way)


@dataclass(frozen=True, slots=True)
class EvenCurves:
    """n curves through values at evenly spaced points, each read at places of its own; level beyond
    their ends."""

    origin: FloatArray
    """(n, 1): the first point."""
    step: FloatArray
    """(n, 1)"""
    cubics: _Cubics

    @classmethod
    def through(
        cls, origin: FloatArray, step: FloatArray, values: FloatArray, slopes: FloatArray
    ) -> EvenCurves:
        """Curves through (n, m) values, with slopes per step."""
        return cls(origin, step, _Cubics.between(values, slopes[:, :-1], slopes[:, 1:]))

    def at(self, places: FloatArray) -> FloatArray:
        """(n, k): the value of each curve at each of its places (n, k)."""
        n, intervals = self.cubics.constant.shape
        way = places - self.origin
        way /= self.step
        np.clip(way, 0.0, intervals, out=way)
        interval = np.minimum(way.astype(np.intp), intervals - 1)
        way -= interval
        interval += (np.arange(n) * intervals)[:, None]
        return self.cubics.at(interval, way)


@dataclass(frozen=True, slots=True)
class _Cubics:
    """(n, intervals) coefficients of powers of the way through an interval, from 0 to 1."""

    constant: FloatArray
    linear: FloatArray
    square: FloatArray
    cube: FloatArray

    @classmethod
    def between(cls, values: FloatArray, starts: FloatArray, ends: FloatArray) -> _Cubics:
        """Cubics through (n, intervals + 1) values with the slopes at both ends of each interval,
        taken over its width."""
        rise = np.diff(values)
        cube = starts + ends - 2.0 * rise
        return cls(np.ascontiguousarray(values[:, :-1]), starts, rise - starts - cube, cube)

    def at(self, interval: IntArray, way: FloatArray) -> FloatArray:
        """Values in intervals, counted through all curves."""
        value: FloatArray = self.cube.take(interval)
        for coefficient in (self.square, self.linear, self.constant):
            value *= way
            value += coefficient.take(interval)
        return value
