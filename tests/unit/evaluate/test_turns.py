"""From turns to columns, and from columns to answers."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from routefold.errors import Misuse
from routefold.evaluate.evaluation import evaluate
from routefold.evaluate.policy import FixedShares
from routefold.evaluate.turns import NO_CHOICE, NOT_LIVE, logged_turns
from tests.unit.evaluate.frames import joined, scored, signals

HALVES = FixedShares(shares={"a": 0.5, "b": 0.5})


def test_only_turns_that_the_logged_probability_decided_are_used() -> None:
    turns = joined(
        {},
        {"mode": "observe", "arm_served": "b"},
        {"mode": "observe"},
        {"mode": "bypass", "probability": 1.0},
    )
    logged = logged_turns(turns, HALVES)
    assert logged.turns["turn_id"].to_list() == ["turn-0"]
    assert logged.left_out == {NOT_LIVE: 3}


def test_a_fallback_stands_for_the_arm_that_was_picked() -> None:
    logged = logged_turns(joined({"arm_served": "b"}, {"arm": "b"}), HALVES)
    assert logged.fell_back == 1
    assert [logged.arms[number] for number in logged.sample.arm] == ["a", "b"]


def test_each_turn_has_the_chances_of_its_type_and_its_eligible_arms() -> None:
    policy = FixedShares(shares={"a": 0.25, "b": 0.75}, by_type={"writing": {"b": 1.0}})
    logged = logged_turns(
        joined({}, {"request_type": "writing"}, {"eligible": ["a"], "probability": 1.0}), policy
    )
    assert logged.arms == ("a", "b")
    assert logged.sample.target.tolist() == [[0.25, 0.75], [0.0, 1.0], [1.0, 0.0]]
    assert logged.sample.weights.tolist() == [0.5, 0.0, 1.0]
    assert [logged.contexts[c] for c in logged.sample.context] == ["general", "writing", "general"]


def test_a_session_is_one_draw_and_turns_without_one_are_each_their_own() -> None:
    sessions = [{"session_id": name} for name in ("s", "t", "s", None, None)]
    numbers = logged_turns(joined(*sessions), HALVES).sample.session
    assert numbers[0] == numbers[2]
    assert sorted(set(numbers.tolist())) == [0, 1, 2, 3]


def test_where_the_policy_has_no_choice_the_turn_is_left_out() -> None:
    only_a = FixedShares(shares={"a": 1.0})
    turns = joined({}, {"eligible": ["b"], "arm": "b"})
    logged = logged_turns(turns, only_a)
    assert logged.left_out == {NO_CHOICE: 1}
    found = evaluate("r", logged, ["quality"], signals(), {"quality": 1.0})
    assert not found.told


def test_an_arm_that_was_never_eligible_can_not_be_told() -> None:
    turns = joined(*({**each, "session_id": f"s{i}"} for i, each in enumerate(scored([1.0] * 300))))
    new = FixedShares(shares={"a": 0.9, "new": 0.1})
    found = evaluate("r", logged_turns(turns, new), ["quality"], signals(), {"quality": 1.0})
    (answer,) = found.answers
    assert answer.values is None
    assert any("'new'" in reason for reason in answer.reasons)
    assert not found.told


def test_a_type_that_the_policy_does_not_cover_is_named() -> None:
    with pytest.raises(Misuse, match="'general'"):
        logged_turns(joined({}), FixedShares(by_type={"writing": {"a": 1.0}}))


def log_of(count: int) -> pl.DataFrame:
    """Arm a is worth 1 and costs 3, arm b is worth 0 and costs 1; each is picked by a coin."""
    random = np.random.default_rng(5)
    return joined(
        *(
            {
                "arm": "a" if heads else "b",
                "session_id": f"s{number}",
                "cost_usd": 3.0 if heads else 1.0,
                "scores": [{"metric": "quality", "value": float(heads)}],
            }
            for number, heads in enumerate(random.random(count) < 0.5)
        )
    )


def test_every_metric_gets_its_answer() -> None:
    policy = FixedShares(shares={"a": 0.8, "b": 0.2})
    found = evaluate("r", logged_turns(log_of(600), policy), [], signals(), {"quality": 1.0})
    assert [answer.metric for answer in found.answers] == ["reward", "cost_usd"]
    assert found.told
    reward, cost = (answer.values for answer in found.answers)
    assert reward is not None
    assert cost is not None
    for values, truth in ((reward, 0.8), (cost, 0.8 * 3.0 + 0.2 * 1.0)):
        assert values.snips.value == pytest.approx(truth, abs=0.1)
        assert values.doubly_robust.value == pytest.approx(truth, abs=0.02)
        assert values.gain.value == pytest.approx(values.doubly_robust.value - values.logged.value)


def test_turns_without_the_metric_are_counted_and_left_out() -> None:
    half = log_of(600).with_columns(
        cost_usd=pl.when(pl.int_range(pl.len()) % 2 == 0).then("cost_usd")
    )
    found = evaluate("r", logged_turns(half, HALVES), ["cost_usd"], signals(), {"quality": 1.0})
    (answer,) = found.answers
    assert answer.missing == 300
    assert answer.overlap is not None
    assert (answer.overlap.turns, answer.overlap.sessions) == (300, 300)


def test_a_metric_that_nobody_reported_is_said_to_be_so() -> None:
    found = evaluate("r", logged_turns(log_of(50), HALVES), ["ttft_ms"], signals(), {})
    (answer,) = found.answers
    assert answer.reasons == ("no turn of the log has it",)


def test_a_number_that_only_one_arm_reports_can_not_be_told() -> None:
    only_a = log_of(2000).with_columns(latency_ms=pl.when(pl.col("arm") == "a").then(5.0))
    policy = FixedShares(shares={"a": 0.9, "b": 0.1})
    logged = logged_turns(only_a, policy)
    found = evaluate("r", logged, ["latency_ms"], signals(), {"quality": 1.0})
    (answer,) = found.answers
    assert any("depends on the arm" in reason for reason in answer.reasons)
    assert not found.told
    usual = evaluate("r", logged, [], signals(), {"quality": 1.0})
    assert {each.metric: each.values is not None for each in usual.answers} == {
        "reward": True,
        "cost_usd": True,
        "latency_ms": False,
    }
    assert usual.told
