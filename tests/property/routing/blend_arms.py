"""Arms to blend: arguments of one call, strategies for them, and scores counted on a lattice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtrit

from router_api.routing.blend import buffered_probabilities

FloatArray = NDArray[np.float64]
Column = tuple[float, ...]


@dataclass(frozen=True)
class Arms:
    """Arguments of one call, as tuples so that Hypothesis can print and replay them."""

    alpha: Column
    beta: Column
    offset: Column
    scale: float
    spread: Column
    degrees: Column
    buffer: float = 0.0

    def __len__(self) -> int:
        return len(self.alpha)

    def chances(self) -> FloatArray:
        alpha, beta, offset, spread, degrees = self.arrays()
        return buffered_probabilities(alpha, beta, offset, self.scale, spread, degrees, self.buffer)

    def arrays(self) -> tuple[FloatArray, ...]:
        columns = (self.alpha, self.beta, self.offset, self.spread, self.degrees)
        return tuple(np.array(column) for column in columns)

    def reordered(self, order: Sequence[int]) -> Arms:
        def pick(values: Column) -> Column:
            return tuple(values[i] for i in order)

        return Arms(
            pick(self.alpha),
            pick(self.beta),
            pick(self.offset),
            self.scale,
            pick(self.spread),
            pick(self.degrees),
            self.buffer,
        )

    def but(self, name: str, value: Any) -> Arms:
        field: dict[str, Any] = {name: value}
        return replace(self, **field)


def arms_like(
    masses: Sequence[float],
    means: Sequence[float],
    spread: Sequence[float],
    *,
    offset: Sequence[float] | None = None,
    degrees: Sequence[float] | None = None,
    scale: float = 0.7,
    buffer: float = 0.0,
) -> Arms:
    return Arms(
        tuple(m * mean for m, mean in zip(masses, means, strict=True)),
        tuple(m * (1 - mean) for m, mean in zip(masses, means, strict=True)),
        tuple(offset or [0.0] * len(masses)),
        scale,
        tuple(spread),
        tuple(degrees or [5.0] * len(masses)),
        buffer,
    )


def timed_only(offset: Column, spread: Column, degrees: Column, buffer: float = 0.0) -> Arms:
    """Arms of which only the time counts."""
    ones = (1.0,) * len(offset)
    return Arms(ones, ones, offset, 0.0, spread, degrees, buffer)


def many_arms(n: int, seed: int, scale: float, buffer: float, spreads: tuple[float, float]) -> Arms:
    rng = np.random.default_rng(seed)
    masses, means = 10 ** rng.uniform(0, 5, n), rng.uniform(0.4, 0.9, n)
    low, high = np.log10(spreads).tolist()
    spread, degrees = 10 ** rng.uniform(low, high, n), 10 ** rng.uniform(0.5, 4, n)
    offset = 0.05 * rng.uniform(-1, 1, n)
    return arms_like(
        masses.tolist(),
        means.tolist(),
        spread.tolist(),
        offset=offset.tolist(),
        degrees=degrees.tolist(),
        scale=scale,
        buffer=buffer,
    )


def powers(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers of any magnitude between two."""
    return st.floats(np.log10(low), np.log10(high)).map(lambda exponent: float(10.0**exponent))


@st.composite
def any_arms(
    draw: st.DrawFn, least_shape: float = 0.05, min_arms: int = 1, max_arms: int = 8
) -> Arms:
    apart = draw(st.sampled_from([0.0, 1e-3, 0.1, 1.0]))
    arm = st.tuples(
        powers(least_shape, 1e6),
        powers(least_shape, 1e6),
        st.floats(-apart, apart),
        st.one_of(powers(1e-4, 3.0), st.just(0.0)),
        powers(2.1, 1e4),
    )
    arms = draw(st.lists(arm, min_size=min_arms, max_size=max_arms))
    alpha, beta, offset, spread, degrees = zip(*arms, strict=True)
    scale = draw(st.sampled_from([0.0, 1e-3, 0.3, 1.0]))
    buffer = draw(st.sampled_from([0.0, 0.01, 0.2]))
    return Arms(alpha, beta, offset, scale, spread, degrees, buffer)


def lattice(
    alpha: float, beta: float, scale: float, spread: float, degrees: float, points: int
) -> FloatArray:
    """Scores at evenly spread quantiles of both terms, ascending."""
    k = np.arange(points) + 0.5
    plastic = 1.32471795724474602596  # its powers fill a square most evenly
    theta = betaincinv(alpha, beta, k / plastic % 1.0)
    scores: FloatArray = np.sort(scale * theta + spread * stdtrit(degrees, k / plastic**2 % 1.0))
    return scores
