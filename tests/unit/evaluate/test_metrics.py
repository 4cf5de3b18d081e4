"""One number a turn, from what was said about it."""

from __future__ import annotations

import pytest

from routefold.evaluate.metrics import meaning, names, unknown, value_of
from tests.unit.evaluate.frames import joined, scored, signals

REWARDS = {"quality": 1.0, "error": 1.0, "failure": 0.5, "satisfaction": 2.0, "other": 0.0}
NOTHING = signals()


def test_a_score_is_itself_and_null_where_it_was_not_given() -> None:
    turns = joined(*scored([0.25, 1.0]), {}, *scored([0.5], metric="other"))
    assert value_of("quality", turns, NOTHING, REWARDS).to_list() == [0.25, 1.0, None, None]


def test_success_counts_calls_that_ended() -> None:
    turns = joined(*({"status": s} for s in ("ok", "error", "timeout", "cancelled", None)))
    assert value_of("success", turns, NOTHING, REWARDS).to_list() == [1, 0, 0, None, None]


def test_what_was_measured_is_itself() -> None:
    turns = joined({"cost_usd": 0.5, "tokens_in": 7}, {})
    assert value_of("cost_usd", turns, NOTHING, REWARDS).to_list() == [0.5, None]
    assert value_of("tokens_in", turns, NOTHING, REWARDS).to_list() == [7.0, None]


def test_a_signal_is_its_share_of_turns() -> None:
    turns = joined({}, {}, {})
    fired = signals(("turn-1", "failure"), ("turn-1", "failure"), ("turn-2", "loop"))
    assert value_of("failure", turns, fired, REWARDS).to_list() == [0.0, 1.0, 0.0]


def test_the_reward_is_the_mean_of_what_counts_by_its_weight() -> None:
    turns = joined(
        *scored([0.8]),
        {**scored([0.8])[0], "status": "error"},
        *scored([0.8]),
        *scored([0.0]),
        {},
        {"status": "ok"},
    )
    fired = signals(("turn-2", "failure"), ("turn-3", "satisfaction"), ("turn-4", "loop"))
    assert value_of("reward", turns, fired, REWARDS).to_list() == [
        pytest.approx(0.8),
        pytest.approx(0.8 / 2.0),  # the error says 0, and weighs as much as the score
        pytest.approx(0.8 / 1.5),
        pytest.approx(2.0 / 3.0),
        None,  # that signal does not count for this router
        None,
    ]


def test_without_rewards_there_is_no_reward() -> None:
    assert value_of("reward", joined(*scored([1.0])), NOTHING, {"quality": 0.0}).to_list() == [None]


def test_what_can_be_asked_for() -> None:
    assert {"reward", "quality", "other", "success", "cost_usd", "failure"} <= set(names(REWARDS))
    assert unknown(["quality", "beauty"], REWARDS) == "beauty"
    assert unknown(["quality"], REWARDS) is None
    assert all(meaning(metric) for metric in names(REWARDS))
