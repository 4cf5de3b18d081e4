"""Choice tables: exact probabilities, look-up by hash, fallbacks."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from router_api.routing.table import ChoiceTable, ranked_fallbacks, unit_hash

UNIT = 2.0**-53
GREATEST_U = 1.0 - UNIT
unhurried = settings(deadline=None)  # a busy machine is no failure

weights = st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 1.0)), min_size=1, max_size=32).filter(
    lambda values: sum(values) > 0.0
)


def table_of(probabilities: list[float], min_probability: float = 0.0) -> ChoiceTable:
    arms = [f"arm-{i}" for i in range(len(probabilities))]
    return ChoiceTable.from_probabilities(arms, probabilities, min_probability)


def normalised(values: list[float]) -> list[float]:
    total = math.fsum(values)
    return [value / total for value in values]


# Probabilities


@unhurried
@given(weights, st.floats(0.0, 1.0))
@example([1.0] * 3, 1.0)
@example([1.0] * 10, 1.0)
def test_probabilities_are_exact_and_mixed_with_the_floor(
    values: list[float], share: float
) -> None:
    n = len(values)
    floor = share / n

    table = table_of(normalised(values), floor)

    assert sum(map(Fraction, table.probabilities)) == 1
    for p, logged in zip(normalised(values), table.probabilities, strict=True):
        assert logged == pytest.approx((1 - n * floor) * p + floor, abs=(n + 4) * UNIT)
        assert (Fraction(logged) * 2**53).denominator == 1


@unhurried
@given(weights)
def test_every_interval_measures_exactly_its_logged_probability(values: list[float]) -> None:
    table = table_of(normalised(values))
    start = 0.0
    for arm in range(len(values)):
        probability = table.probability(arm)
        if probability == 0.0:
            continue
        assert table.pick(start) == arm
        assert table.pick(start + probability - UNIT) == arm
        start += probability
    assert start == 1.0


@unhurried
@given(weights, st.integers(1, 2_000))
def test_picks_over_an_even_grid_reproduce_the_probabilities(
    values: list[float], cells: int
) -> None:
    table = table_of(normalised(values))

    counts = Counter(table.pick((cell + 0.5) / cells) for cell in range(cells))

    for arm in range(len(values)):
        assert abs(counts[arm] - cells * table.probability(arm)) <= 1.0 + 1e-9
        assert table.probability(arm) > 0.0 or counts[arm] == 0


@unhurried
@given(weights, st.floats(0.0, GREATEST_U))
@example([0.0, 1.0, 0.0], 0.0)
@example([0.0, 1.0, 0.0], GREATEST_U)
@example([0.1] * 10 + [0.0], GREATEST_U)
def test_an_impossible_arm_is_never_picked(values: list[float], u: float) -> None:
    table = table_of(normalised(values))

    assert table.probability(table.pick(u)) > 0.0


def test_the_floor_reaches_an_arm_that_cannot_win() -> None:
    table = table_of([1.0, 0.0, 0.0, 0.0], 0.05)

    assert table.probabilities == pytest.approx((0.85, 0.05, 0.05, 0.05), abs=4 * UNIT)
    assert {table.pick(u) for u in (0.0, 0.87, 0.92, 0.97)} == {0, 1, 2, 3}


def test_a_table_keeps_its_arms_in_order_and_cannot_change() -> None:
    table = ChoiceTable.from_probabilities(["small", "large"], [0.25, 0.75])

    assert table == ChoiceTable(("small", "large"), (0.25, 0.75))
    assert [table.pick(u) for u in (0.0, 0.25 - UNIT, 0.25, GREATEST_U)] == [0, 0, 1, 1]
    assert not hasattr(table, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        table.probabilities = (0.5, 0.5)  # type: ignore[misc]


# What is refused


@pytest.mark.parametrize(
    ("probabilities", "min_probability", "message"),
    [
        ([0.5, 0.4], 0.0, r"must sum to 1 within 1e-09, got 0\.9"),
        ([1.5, -0.5], 0.0, r"probability of arm 1 must be finite and >= 0, got -0\.5"),
        ([math.nan, 1.0], 0.0, r"probability of arm 0 must be finite and >= 0, got nan"),
        ([0.5, 0.5], 0.51, r"min_probability must be between 0 and 1/2 for 2 arms, got 0\.51"),
        ([0.5, 0.5], -0.01, r"min_probability must be between 0 and 1/2 for 2 arms, got -0\.01"),
        ([0.5, 0.5], math.nan, r"min_probability must be between 0 and 1/2 .* got nan"),
    ],
)
def test_impossible_probabilities_are_refused(
    probabilities: list[float], min_probability: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        table_of(probabilities, min_probability)


@pytest.mark.parametrize(
    ("arms", "probabilities", "message"),
    [
        ((), (), "at least one arm"),
        (("a", "b"), (1.0,), "got 2 arms and 1 probabilities"),
        (("a", "a"), (0.5, 0.5), "arms of a choice table must be different"),
        (("a", "b"), (0.1, 0.9), r"multiples of 2\*\*-53 .* use ChoiceTable.from_probabilities"),
        (("a", "b"), (0.25, 0.5), "with a sum of 1"),
        (("a", "b"), (1.5, -0.5), "multiples of"),
        (("a", "b"), (math.nan, 1.0), "multiples of"),
    ],
)
def test_a_table_that_could_not_be_exact_is_refused(
    arms: tuple[str, ...], probabilities: tuple[float, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ChoiceTable(arms, probabilities)


@pytest.mark.parametrize("u", [-UNIT, 1.0, math.nan])
def test_a_position_outside_the_unit_interval_is_refused(u: float) -> None:
    with pytest.raises(ValueError, match=r"u must be in \[0, 1\), got"):
        table_of([0.5, 0.5]).pick(u)


# Fallbacks


@pytest.mark.parametrize(
    ("probabilities", "picked", "expected"),
    [
        ([0.125, 0.5, 0.25, 0.125], 1, [2, 0, 3]),
        ([0.125, 0.5, 0.25, 0.125], 3, [1, 2, 0]),
        ([0.0, 1.0, 0.0], 1, [0, 2]),
        ([1.0], 0, []),
    ],
)
def test_fallbacks_are_likeliest_first_then_in_table_order(
    probabilities: list[float], picked: int, expected: list[int]
) -> None:
    assert ranked_fallbacks(table_of(probabilities), picked) == expected


# Hash


@pytest.mark.parametrize(
    ("key", "salt", "units"),
    [
        (b"", b"", 8_044_937_785_282_358),
        (b"session-1", b"router-salt", 656_796_634_788_030),
        (b"session-2", b"router-salt", 2_264_998_902_717_007),
        (b"session-1", b"other-salt", 2_706_305_181_175_604),
        (bytes(range(256)), bytes(range(64)), 1_713_680_511_328_297),
    ],
)
def test_hash_is_the_same_on_every_replica_for_ever(key: bytes, salt: bytes, units: int) -> None:
    assert unit_hash(key, salt) == units * UNIT


def test_a_salt_longer_than_a_blake2b_key_is_refused() -> None:
    with pytest.raises(ValueError, match="salt must be at most 64 bytes, got 65"):
        unit_hash(b"session-1", b"s" * 65)


@pytest.mark.parametrize("salt", [b"", b"salt-a", b"salt-b"])
def test_hash_of_consecutive_keys_is_uniform(salt: bytes) -> None:
    keys, cells = 50_000, 100
    counts = np.zeros(cells)
    for number in range(keys):
        counts[int(unit_hash(b"session-%d" % number, salt) * cells)] += 1

    expected = keys / cells
    statistic = float(((counts - expected) ** 2 / expected).sum())

    # Fixed inputs: no flakes. Both tails, since too even is as wrong as too uneven.
    assert chi2.ppf(0.001, cells - 1) < statistic < chi2.ppf(0.999, cells - 1)


def test_another_salt_picks_independently() -> None:
    table = table_of([0.5, 0.5])
    keys = [b"session-%d" % number for number in range(10_000)]

    both = Counter(
        (table.pick(unit_hash(key, b"a")), table.pick(unit_hash(key, b"b"))) for key in keys
    )

    assert all(abs(count - 2_500) < 5 * math.sqrt(10_000 * 0.25 * 0.75) for count in both.values())
    assert len(both) == 4
