"""Chances of arms to be picked when quality and time count: those good enough share, not the best.

Arm i scores ``S_i = scale * theta_i + offset_i + spread_i * t_i`` with independent ``theta_i ~
Beta(alpha_i, beta_i)`` and ``t_i ~ Student-t(degrees_i)``. Thompson sampling picks an arm with the
chance that its score is the largest. The more is known, the more traffic goes to one arm, on the
strength of a difference that nobody would feel. So here an arm is picked in proportion to its
chance of being good enough, that is no more than a buffer below the largest score:

    P_i = W_i / sum(W),   W_i = P(S_i >= max_{j != i} S_j - buffer)
                              = integral of  prod_{j != i} F_j(s + buffer)  dF_i(s)

Without a buffer that is Thompson sampling. With one, arms that surely differ by less share equally,
and what surely is farther below the best gets nothing.

Scores with width are integrated over (race.py); those known exactly are compared.
"""

from __future__ import annotations

import numpy as np

from router_api.routing.choice import win_probabilities
from router_api.routing.curves import Curves
from router_api.routing.panels import FloatArray
from router_api.routing.race import Race
from router_api.routing.score_tables import beta_moments, tabulate

# A score whose width is this small, or this small a part of it, is known exactly: as doubles its
# quantiles would not differ, or have lost most of their digits.
_EXACT = 1e-12
_EXACT_WIDTH = 1e-290
# Products of larger scores would not be doubles.
_LARGEST = 1e100
# Rounding in sums of offsets and the buffer must not break a tie.
_ROUNDING = 4.0 * float(np.finfo(np.float64).eps)


def buffered_probabilities(
    alpha: FloatArray,
    beta: FloatArray,
    offset: FloatArray,
    scale: float,
    spread: FloatArray,
    degrees: FloatArray,
    buffer: float,
) -> FloatArray:
    """Shares of arms in proportion to their chances to score within ``buffer`` of the best.

    One value per arm in every array. ``alpha``, ``beta``: posterior shapes of quality, > 0, meant
    for 0.05 to 1e6 in any mixture. ``offset``: the certain part of a score. ``scale``: weight of
    quality, in [0, 1]. ``spread``: scale of the Student-t part, >= 0; 0 where time is known or does
    not count. ``degrees``: its degrees of freedom, > 2. ``buffer``: how far below the largest score
    is good enough, >= 0. No score may exceed 1e100.

    Returns probabilities that sum to 1 within 1e-9, each within 2e-3 of the truth (typically
    1e-4). An arm that could be good enough only with a chance near 1e-6 gets exactly 0. Scores that
    are known exactly and tie are all good enough. A pure function of its arguments: no randomness,
    no clock.

    Raises ValueError for arrays of different or zero length and for values out of range, with the
    arm's index and value; QuadratureError if the accuracy cannot be reached.
    """
    _require_valid(alpha, beta, offset, scale, spread, degrees, buffer)
    if buffer == 0.0 and not spread.any():
        return win_probabilities(alpha, beta, offset, scale)  # the same question, without sums
    mean, deviation = beta_moments(alpha, beta)
    gap = offset - offset.max()  # doubles are densest around 0, so that is where the best is
    narrow = np.maximum(_EXACT * (scale + np.abs(gap)), _EXACT_WIDTH)
    exact = scale * deviation + spread <= narrow
    level = gap[exact] + scale * mean[exact]
    highest = float(level.max(initial=-np.inf))
    good_enough = level + (buffer + _ROUNDING * float(np.abs(offset).max())) >= highest

    weights = np.zeros(len(alpha))
    weights[exact] = good_enough
    if not exact.all():
        uncertain = np.flatnonzero(~exact)
        points, cdf = tabulate(
            alpha[uncertain], beta[uncertain], scale, spread[uncertain], degrees[uncertain]
        )
        points += gap[uncertain, None]
        # The least score that can be good enough, or just below it, as it counts itself.
        floor = float(np.nextafter(max(float(points[:, 0].max()), highest) - buffer, -np.inf))
        contend = points[:, -1] > floor
        if contend.any():
            race = Race(Curves.through(points[contend], cdf[contend]), buffer, floor)
            weights[exact] *= race.none_above(level + buffer)
            several = buffer > 0.0 or int(good_enough.sum()) > 1
            weights[uncertain[contend]] = race.chances(float(weights.sum()), several)
    chances: FloatArray = weights / weights.sum()
    return chances


def _require_valid(
    alpha: FloatArray,
    beta: FloatArray,
    offset: FloatArray,
    scale: float,
    spread: FloatArray,
    degrees: FloatArray,
    buffer: float,
) -> None:
    lengths = [len(each) for each in (alpha, beta, offset, spread, degrees)]
    if not 0 < min(lengths) == max(lengths):
        raise ValueError(
            "alpha, beta, offset, spread and degrees must have one value per arm and at least one"
            f" arm, got {lengths} values"
        )
    if not 0.0 <= scale <= 1.0:
        raise ValueError(f"scale must be in [0, 1], got {scale!r}")
    if not 0.0 <= buffer <= _LARGEST:
        raise ValueError(f"buffer must be in [0, {_LARGEST:.0e}], got {buffer!r}")
    for name, values, valid, need in (
        ("alpha", alpha, (alpha > 0.0) & np.isfinite(alpha), "finite and > 0"),
        ("beta", beta, (beta > 0.0) & np.isfinite(beta), "finite and > 0"),
        ("offset", offset, np.abs(offset) <= _LARGEST, f"within {_LARGEST:.0e} of 0"),
        ("spread", spread, (spread >= 0.0) & (spread <= _LARGEST), f"in [0, {_LARGEST:.0e}]"),
        ("degrees", degrees, degrees > 2.0, "> 2"),
    ):
        if not valid.all():
            arm = int(np.argmin(valid))
            raise ValueError(
                f"{name} of arm {arm} must be {need}, got {float(values[arm])!r};"
                " leave this arm out or repair its posterior"
            )
