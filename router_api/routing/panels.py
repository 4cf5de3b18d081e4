"""Integrals over panels, shared by the quadratures of this package.

A panel lies between two points of an axis along which distribution functions (CDFs) rise. Each CDF
is taken as a quadratic in t in [0, 1] through its values at the panel's start, middle and end, and
their product is integrated by Gauss-Legendre. The integral does not depend on what runs along the
axis, so those values describe a panel completely.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.intp]
BoolArray: TypeAlias = NDArray[np.bool_]
# Values at the start, the middle and the end of panels; the first axis is that of the arms.
Quadratic: TypeAlias = tuple[FloatArray, FloatArray, FloatArray]

_LEGENDRE_NODES, _LEGENDRE_WEIGHTS = np.polynomial.legendre.leggauss(4)
_T = (_LEGENDRE_NODES + 1.0) / 2.0
_T_WEIGHTS = _LEGENDRE_WEIGHTS / 2.0
_BUMP = 4.0 * _T * (1.0 - _T)
_BUMP_SLOPE = 4.0 * (1.0 - 2.0 * _T)


def panel_integrals(own: Quadratic, others: Quadratic) -> FloatArray:
    """(n, ...): integral over each panel of prod_{j != i} others_j against own_i, for every i."""
    cdf = others[0][..., None] + _width(others) * _T + _bulge(others) * _BUMP
    slope = _width(own) + _bulge(own) * _BUMP_SLOPE
    integrals: FloatArray = (products_of_others(cdf) * slope) @ _T_WEIGHTS
    return integrals


def products_of_others(cdf: FloatArray) -> FloatArray:
    """prod_{j != i} F_j along the first axis: prefix times suffix, as a CDF may be 0."""
    products = np.ones_like(cdf)
    np.multiply.accumulate(cdf[:-1], axis=0, out=products[1:])
    products[:-1] *= np.multiply.accumulate(cdf[:0:-1], axis=0)[::-1]
    return products


def _width(quadratic: Quadratic) -> FloatArray:
    start, _, end = quadratic
    return (end - start)[..., None]


def _bulge(quadratic: Quadratic) -> FloatArray:
    start, middle, end = quadratic
    return (middle - (start + end) / 2.0)[..., None]
