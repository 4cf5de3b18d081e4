"""Fixed-point conversions: exact at their steps, the same on every machine."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.metrics import (
    BUILT_IN,
    FIRST_DECLARED_CODE,
    MAX_CODE,
    MAX_FIXED,
    Kind,
    from_fixed,
    max_value,
    to_fixed,
)


def fixed(kind: Kind, *values: float) -> list[int]:
    return [int(x) for x in to_fixed(kind, np.array(values, dtype=np.float64))]


def test_the_steps_of_each_kind() -> None:
    assert fixed(Kind.SCORE, 0.0, 0.5, 1.0) == [0, 512, 1024]
    assert fixed(Kind.TIME, 0.0, 1.0, 2.0, 1024.0) == [0, 0, 64, 640]
    assert fixed(Kind.RATE, 0.0, 0.001, 0.002, 1.024) == [0, 0, 64, 640]
    assert fixed(Kind.TOKENS, 0, 17) == [0, 17]
    assert fixed(Kind.MONEY, 0.0, 0.000001, 1.25) == [0, 1, 1_250_000]


@given(st.sampled_from(list(Kind)), st.floats(0, 1))
def test_no_value_in_range_leaves_the_integers_or_loses_its_size(kind: Kind, share: float) -> None:
    value = share * max_value(kind)
    (x,) = fixed(kind, value)
    assert 0 <= x <= MAX_FIXED
    if kind is Kind.TIME:
        assert from_fixed(kind, x) == pytest.approx(max(value, 1.0), rel=0.0055)
    elif kind is Kind.RATE:
        assert from_fixed(kind, x) == pytest.approx(max(value, 0.001), rel=0.0055)
    else:
        step = from_fixed(kind, 1)
        assert from_fixed(kind, x) == pytest.approx(value, abs=step / 2 * (1 + 1e-9))


@given(st.floats(1.0, 1e9), st.floats(1.0, 1e9))
def test_times_keep_their_order(a: float, b: float) -> None:
    x, y = fixed(Kind.TIME, a, b)
    assert (x <= y) or (a > b)


def test_every_metric_has_a_code_of_its_own() -> None:
    codes = [code for code, _ in BUILT_IN.values()]
    assert len(set(codes)) == len(codes)
    assert max(codes) < FIRST_DECLARED_CODE < MAX_CODE < 63
