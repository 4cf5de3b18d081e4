"""When a benchmark says that one arm has taken another's place."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bandits import Thompson
from benchmarks.drift import (
    AFTER,
    BEFORE,
    NEXT_BEST,
    OLD_BEST,
    TURNS_AFTER,
    WINDOW,
    play_through,
    router_config,
    turns_to_overtake,
    with_history,
)
from schemas.request_types import GENERAL

OLD, NEW, THIRD = 0, 1, 2


@pytest.mark.parametrize(
    ("picks", "turns"),
    [
        ([NEW] * 200, WINDOW),
        ([OLD] * 100 + [NEW] * 100, 100 + WINDOW // 2 + 1),
        ([OLD] * 200, 200),
        ([THIRD] * 200, 200),
        ([OLD, NEW] * 100, 200),  # as often is not more often
        ([OLD] * 100 + [THIRD] * WINDOW + [NEW] + [THIRD] * 49, 100 + WINDOW + 1),
    ],
)
def test_turns_to_overtake(picks: list[int], turns: int) -> None:
    assert turns_to_overtake(np.array(picks), OLD, NEW) == turns


def test_the_arms_are_those_that_the_figures_speak_of() -> None:
    assert BEFORE.argmax() == OLD_BEST
    assert AFTER.argmax() == NEXT_BEST
    assert np.flatnonzero(BEFORE != AFTER).tolist() == [OLD_BEST]


def test_what_never_forgets_does_not_recover() -> None:
    run = play_through(lambda seed: Thompson(router_config(), seed), 1)
    assert run.turns_to_recover == TURNS_AFTER
    assert run.success_before > 98
    assert run.settled_share < 20


def test_a_history_is_one_of_the_best_arm() -> None:
    bandit = with_history(router_config(), 1, 1500)
    quality = bandit.learner.evidence(GENERAL)["arm-0"]["quality"]
    assert 1500 <= quality.slow.n < 3000
    assert quality.slow.mean == pytest.approx(BEFORE[OLD_BEST] * 1024, rel=0.05)
