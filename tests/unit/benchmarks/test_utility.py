"""The yardstick of the utility benchmark, and the contenders that it measures."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bandits import (
    Bandit,
    FloatArray,
    LiteLLM,
    Maker,
    Routefold,
    Thompson,
    Uniform,
    play,
)
from benchmarks.litellm_version import litellm_name
from benchmarks.utility import Problem, paired
from schemas.request_types import GENERAL

WRITING = "writing"
# Arm 0 costs most and is best at general requests, arm 2 is free and best at writing.
RATES = {GENERAL: (0.9, 0.2, 0.1), WRITING: (0.3, 0.3, 0.9)}
USD = np.array([0.02, 0.01, 0.0])


class Always:
    """An arm for each request type."""

    def __init__(self, arms: dict[str, int]) -> None:
        self._arms = arms

    def serve(self, request_type: str, rewards: FloatArray) -> int:  # noqa: ARG002
        return self._arms[request_type]


def problem(rows: int = 400, usd: FloatArray = USD) -> Problem:
    rng = np.random.default_rng(0)
    types = [(GENERAL, WRITING)[row % 2] for row in range(rows)]
    rates = np.array([RATES[kind] for kind in types])
    return Problem.of(types, (rng.random(rates.shape) < rates).astype(float), usd)


def test_the_oracle_is_the_best_arm_of_each_type_price_included() -> None:
    types = [GENERAL, GENERAL, WRITING, WRITING]
    reward = np.array([[1, 1, 0], [1, 0, 1], [0, 0.5, 0.5], [0, 0.5, 0]])
    found = Problem.of(types, reward, np.array([3.0, 2.0, 1.0]))
    expected = 0.7 * reward + 0.3 * np.array([0.0, 0.5, 1.0])
    assert found.utility == pytest.approx(expected)
    # general: .70, .50, .65; writing: 0, .50, .475
    assert found.best.tolist() == [0, 0, 1, 1]
    assert {arm.tier for arm in found.config.arms} == {2}


def test_the_oracle_earns_all_of_what_it_is_measured_by() -> None:
    told = problem()
    best = {kind: int(told.best[row]) for row, kind in enumerate(told.request_types[:2])}
    assert best == {GENERAL: 0, WRITING: 2}
    assert told.percent_of_oracle(lambda _: Always(best), 1, 500) == pytest.approx(100)
    swapped = {GENERAL: 2, WRITING: 0}
    assert told.percent_of_oracle(lambda _: Always(swapped), 1, 500) < 60


def test_all_contenders_of_a_seed_get_the_same_requests() -> None:
    told = problem()
    assert told.drawn(3, 50).tolist() == told.drawn(3, 50).tolist() != told.drawn(4, 50).tolist()


def ours(seed: int) -> Bandit:
    return Routefold(problem().config, seed, step_ms=5)


def litellm(seed: int) -> Bandit:
    if litellm_name() is None:
        pytest.skip("LiteLLM is not installed: make rivals")
    return LiteLLM(problem().config, seed)


def thompson(seed: int) -> Bandit:
    return Thompson(problem().config, seed)


@pytest.mark.parametrize("make", [ours, thompson, litellm])
def test_contenders_learn_what_uniform_choice_does_not(make: Maker) -> None:
    told = problem()
    learned = told.percent_of_oracle(make, 1, 1500)
    uniform = told.percent_of_oracle(lambda seed: Uniform(told.config, seed), 1, 1500)
    assert 50 < uniform < 80
    assert learned > 92


def test_a_contender_learns_from_the_arm_it_picked_alone() -> None:
    """Rewards of the other arms change nothing."""
    rng = np.random.default_rng(1)
    types = [GENERAL] * 300
    for make in (ours, thompson):
        rewards = rng.random((300, 3))
        picks = play(make(1), types, rewards)
        elsewhere = 1.0 - rewards
        elsewhere[np.arange(300), picks] = rewards[np.arange(300), picks]
        assert play(make(1), types, elsewhere).tolist() == picks.tolist()


def test_runs_are_compared_seed_by_seed() -> None:
    mean, error = paired(np.array([3.0, 5.0, 7.0]), np.array([2.0, 3.0, 4.0]))
    assert mean == pytest.approx(2)
    assert error == pytest.approx(1 / np.sqrt(3))
