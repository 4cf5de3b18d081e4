"""Speed: uncertain without data, learned from few calls, never 0 ms."""

from __future__ import annotations

import pytest

from schemas.evidence import NOTHING, Effective
from schemas.speed import speed_beliefs


def seen(*octaves: float) -> Effective:
    fixed = [64 * each for each in octaves]
    return Effective(len(fixed), sum(fixed), sum(x * x for x in fixed))


def test_an_arm_without_data_is_uncertain_and_as_slow_as_the_others() -> None:
    known, unknown = speed_beliefs([seen(*[10.0, 10.2] * 10), NOTHING])
    assert unknown.location == pytest.approx(10.1)
    assert unknown.scale > 1.0 > 0.2 > known.scale


def test_where_nothing_is_known_all_are_equal() -> None:
    first, second = speed_beliefs([NOTHING, NOTHING])
    assert first == second


def test_one_call_places_an_arm_and_more_make_sure() -> None:
    once, often, other = speed_beliefs([seen(8.0), seen(*[8.0] * 40), seen(*[11.0] * 40)])
    assert once.location == pytest.approx(8.0, abs=0.3)
    assert often.location == pytest.approx(8.0, abs=0.02)
    assert once.scale > 3 * often.scale
    assert other.location == pytest.approx(11.0, abs=0.02)


def test_an_arm_that_varies_is_less_sure() -> None:
    steady, wild = speed_beliefs([seen(*[9.0, 11.0] * 8), seen(*[10.0, 10.0] * 8)])
    assert steady.scale > 2 * wild.scale


def test_rounding_never_makes_a_spread_impossible() -> None:
    n, x = 3.0, 640.1234567
    (only,) = speed_beliefs([Effective(n, n * x, n * x * x * (1 - 1e-15))])
    assert only.scale > 0
    assert only.degrees > 2
