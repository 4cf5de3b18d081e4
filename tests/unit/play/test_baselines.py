"""The baselines against brute force: every way to choose is tried, in exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routefold.play.baselines import best_single, per_type_oracle, totals_by_type, uniform
from routefold.play.log import FloatArray

# Sixteenths: sums are exact in binary, so equal totals are equal and nothing hides in rounding.
values = st.integers(0, 16).map(lambda n: n / 16)


@st.composite
def plays(draw: st.DrawFn) -> tuple[FloatArray, list[int], list[int]]:
    """Values (rows, arms), and the row and the type of each turn."""
    rows, arms, turns = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 12))
    table = draw(st.lists(values, min_size=rows * arms, max_size=rows * arms))
    row_of_turn = draw(st.lists(st.integers(0, rows - 1), min_size=turns, max_size=turns))
    type_of_turn = draw(st.lists(st.integers(0, 2), min_size=turns, max_size=turns))
    return np.array(table).reshape(rows, arms), row_of_turn, type_of_turn


@given(plays())
def test_totals_and_choices_equal_brute_force(
    play: tuple[FloatArray, list[int], list[int]],
) -> None:
    table, rows, types = play
    arms = range(table.shape[1])
    exact = [[Fraction(value) for value in each] for each in table.tolist()]
    totals = totals_by_type(table, np.array(rows), np.array(types), 3)

    for number, arm in product(range(3), arms):
        expected = sum(
            (exact[row][arm] for row, kind in zip(rows, types, strict=True) if kind == number),
            Fraction(0),
        )
        assert Fraction(totals[number, arm]) == expected

    expected_uniform = sum((sum(exact[row]) for row in rows), Fraction(0)) / len(arms)
    assert uniform(3, len(arms)).earns(totals) == pytest.approx(float(expected_uniform), rel=1e-12)

    singles = [sum((exact[row][arm] for row in rows), Fraction(0)) for arm in arms]
    assert Fraction(best_single(totals).earns(totals)) == max(singles)
    assert best_single(totals).arm(0) == singles.index(max(singles))

    by_type = max(
        sum((exact[row][choice[kind]] for row, kind in zip(rows, types, strict=True)), Fraction(0))
        for choice in product(arms, repeat=3)
    )
    assert Fraction(per_type_oracle(totals).earns(totals)) == by_type


def test_a_choice_made_by_one_value_can_be_priced_by_another() -> None:
    reward = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    cost = np.array([[5.0, 1.0], [5.0, 1.0], [5.0, 2.0]])
    rows, types = np.array([0, 1, 2, 0]), np.array([0, 1, 1, 0])
    rewards = totals_by_type(reward, rows, types, 2)
    costs = totals_by_type(cost, rows, types, 2)

    assert per_type_oracle(rewards).earns(rewards) == 4.0
    assert per_type_oracle(rewards).earns(costs) == 5.0 + 5.0 + 1.0 + 2.0
    assert best_single(rewards).earns(costs) == 20.0  # both arms earn 2: the first one
    assert uniform(2, 2).earns(costs) == 12.5
