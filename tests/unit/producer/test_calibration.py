"""Weights fitted to made-up sessions whose truth is known, and the areas that judge them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from producer.calibration import (
    CHECKPOINTS,
    Calibration,
    Observed,
    calibrate,
    observe,
    score,
)
from producer.calibration_fit import PRIOR_WEIGHTS, area_at_turns
from producer.signals import Signal, detect

# Chance of a signal per turn, in a session that will fail and in one that will succeed.
Rates = Mapping[Signal, tuple[float, float]]

TELLING: Rates = {
    Signal.SATISFACTION: (0.1, 0.4),
    Signal.LOOP: (0.5, 0.1),
    Signal.FAILURE: (0.3, 0.3),
    Signal.RETRY: (0.1, 0.5),  # the wrong way round: it must not count in favour
}


def sessions(
    count: int,
    rates: Rates,
    *,
    seed: int = 1,
    source: str = "",
    success_rate: float = 0.5,
    turns: Callable[[bool], int] = lambda _: 6,
) -> list[Observed]:
    rng = random.Random(seed)
    made = []
    for _ in range(count):
        success = rng.random() < success_rate
        length = turns(success)
        fired = tuple(
            frozenset(signal for signal, rate in rates.items() if rng.random() < rate[success])
            for _ in range(length)
        )
        made.append(Observed(fired, success, source))
    return made


def fitted(conversations: list[Observed], **options: int) -> Calibration:
    return calibrate(conversations, **{"resamples": 8, **options})


def test_weights_follow_the_truth_and_never_its_opposite() -> None:
    calibration = fitted(sessions(600, TELLING))
    weights = calibration.weights
    assert weights[Signal.SATISFACTION] > 0.5
    assert weights[Signal.LOOP] > 0.5
    assert weights[Signal.FAILURE] < 0.2
    assert weights[Signal.RETRY] == 0
    assert min(weights.values()) >= 0
    area = calibration.area[""]
    assert area is not None
    assert area > 0.8


def test_intervals_hold_the_weight_and_narrow_with_data() -> None:
    few, many = (fitted(sessions(count, TELLING), resamples=30) for count in (150, 2_000))
    widths = []
    for calibration in (few, many):
        loop = next(worth for worth in calibration.signals if worth.signal is Signal.LOOP)
        assert loop.low is not None
        assert loop.high is not None
        assert loop.low <= loop.weight <= loop.high
        widths.append(loop.high - loop.low)
    assert widths[1] < widths[0]


def test_firing_is_counted_and_compared() -> None:
    calibration = fitted(sessions(600, TELLING))
    worth = {worth.signal: worth for worth in calibration.signals}
    loop, failure, never = (
        worth[signal] for signal in (Signal.LOOP, Signal.FAILURE, Signal.STAGNATION)
    )
    assert loop.turns > loop.conversations > 0
    assert loop.success_with is not None
    assert loop.success_without is not None
    assert loop.success_with + 0.2 < loop.success_without
    assert failure.success_with == pytest.approx(failure.success_without, abs=0.1)
    assert (never.turns, never.success_with, never.low) == (0, None, None)


def test_a_signal_never_seen_keeps_what_is_known_before_any_data() -> None:
    weights = fitted(sessions(200, {Signal.LOOP: (0.5, 0.1)})).weights
    assert weights[Signal.MISALIGNMENT] == pytest.approx(PRIOR_WEIGHTS[Signal.MISALIGNMENT])
    assert weights[Signal.DISENGAGEMENT] == pytest.approx(0, abs=1e-6)


def test_length_alone_teaches_nothing() -> None:
    """Successes are short here, so over whole conversations any signal would look telling."""
    same = {Signal.LOOP: (0.3, 0.3), Signal.SATISFACTION: (0.3, 0.3)}
    conversations = sessions(1_500, same, turns=lambda success: 4 if success else 9)
    calibration = fitted(conversations)
    area = calibration.area[""]
    assert area == pytest.approx(0.5, abs=0.04)
    assert calibration.weights[Signal.LOOP] < 0.15
    assert calibration.weights[Signal.SATISFACTION] < 0.15


def test_success_rates_of_sources_are_not_compared() -> None:
    """Loops are frequent in the source that mostly fails, and say nothing within either."""
    hard = sessions(800, {Signal.LOOP: (0.6, 0.6)}, source="hard", success_rate=0.2)
    easy = sessions(800, {Signal.LOOP: (0.1, 0.1)}, source="easy", success_rate=0.8, seed=2)
    calibration = fitted([*hard, *easy])
    assert calibration.weights[Signal.LOOP] < 0.2
    assert set(calibration.area) == {"hard", "easy"}


def test_tasks_stay_on_one_side() -> None:
    """Each task repeats one session; knowing its copies would be knowing the answer."""
    noise = dict.fromkeys(Signal, (0.3, 0.3))
    once = sessions(60, noise)
    copies = [
        Observed(conversation.turns, conversation.success, "", f"task {number}")
        for number, conversation in enumerate(once)
        for _ in range(10)
    ]
    alone = [Observed(copy.turns, copy.success) for copy in copies]
    leaking, honest = fitted(alone).area[""], fitted(copies).area[""]
    assert leaking is not None
    assert honest is not None
    assert honest < leaking - 0.05


def test_the_same_input_and_seed_give_the_same_numbers() -> None:
    conversations = sessions(150, TELLING)
    assert fitted(conversations, seed=3) == fitted(conversations, seed=3)
    assert fitted(conversations, seed=3).weights == fitted(conversations, seed=4).weights


def test_a_source_too_small_has_no_area() -> None:
    assert fitted(sessions(25, TELLING)).area == {"": None}


@pytest.mark.parametrize(
    ("conversations", "options"),
    [
        ([], {}),
        (sessions(50, TELLING, success_rate=1), {}),
        (sessions(50, TELLING, turns=lambda _: CHECKPOINTS[0]), {}),
        ([Observed(c.turns, c.success, "", "one task") for c in sessions(50, TELLING)], {}),
        (sessions(50, TELLING), {"folds": 1}),
        (sessions(50, TELLING), {"resamples": 1}),
    ],
)
def test_what_can_not_be_fitted_is_refused(
    conversations: list[Observed], options: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match="calibration needs"):
        fitted(conversations, **options)


# --- score, areas, observing --------------------------------------------------------------------


def test_the_score_adds_up_turn_by_turn() -> None:
    turns = [
        frozenset({Signal.SATISFACTION}),
        frozenset({Signal.LOOP, Signal.FAILURE}),
        frozenset({Signal.LOOP}),
    ]
    weights = {Signal.SATISFACTION: 1.0, Signal.LOOP: 0.5}
    assert [score(turns[:end], weights) for end in range(4)] == [0.0, 1.0, 0.5, 0.0]


def test_areas() -> None:
    success = np.array([True] * 20 + [False] * 20)
    perfect = np.array([[2.0]] * 20 + [[1.0]] * 20)
    assert area_at_turns(perfect, success) == 1.0
    assert area_at_turns(-perfect, success) == 0.0
    assert area_at_turns(np.zeros((40, 1)), success) == 0.5


def test_areas_leave_out_turns_with_few_conversations() -> None:
    success = np.array([True] * 20 + [False] * 20)
    scores = np.array([[2.0, 0.0]] * 20 + [[1.0, 5.0]] * 20)
    scores[10:30, 1] = np.nan  # 10 of either label go on
    assert area_at_turns(scores, success) == 1.0
    assert area_at_turns(scores[:25], success[:25]) is None


def test_areas_weigh_turns_by_conversations() -> None:
    success = np.array([True] * 40 + [False] * 40)
    scores = np.array([[1.0, 0.0]] * 40 + [[0.0, 1.0]] * 40)
    scores[20:60, 1] = np.nan  # half of them go on, and there the score is wrong
    assert area_at_turns(scores, success) == pytest.approx(80 / (80 + 40))


def test_areas_compare_within_folds_only() -> None:
    success = np.array([True, False] * 20)
    folds = np.repeat([0, 1], 20)
    scores = np.where(success, 1.0, 0.0)[:, None] + 10.0 * folds[:, None]
    assert area_at_turns(scores, success) == 0.75
    assert area_at_turns(scores, success, folds) == 1.0


def test_observing_replays_the_requests() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Write a parser"},
        {"role": "assistant", "content": "Done."},
        {"role": "user", "content": "That's wrong."},
        {"role": "assistant", "content": "One moment."},
        {"role": "assistant", "content": "Fixed."},
        {"role": "user", "content": "Perfect, thank you!"},
    ]
    observed = observe(messages, True, "chat", "parser")
    assert observed.turns == (frozenset({"misalignment"}), frozenset({"satisfaction"}))
    assert observed.turns[0] == frozenset(detect(messages[:4]))
    assert (observed.success, observed.source, observed.group) == (True, "chat", "parser")
    assert observe(messages[:2], False).turns == ()


def test_observing_counts_satisfaction_as_the_fold_does() -> None:
    """Once a session; the first thanks often only close a greeting."""
    thanks = {"role": "user", "content": "Thanks!"}
    messages = [{"role": "user", "content": "Hi"}, *[{"role": "assistant"}, thanks] * 4]
    satisfied = [Signal.SATISFACTION in turn for turn in observe(messages, True).turns]
    assert satisfied == [False, True, False, False]
