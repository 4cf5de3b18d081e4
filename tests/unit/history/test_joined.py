"""A turn with what its outcomes said."""

from __future__ import annotations

import random
from typing import Any

from consumer.records import Batch
from routefold.history.joined import join
from routefold.history.tables import tables_of
from schemas.events import Outcome, Turn
from tests.factories import T0, outcome, records, turn, uuid7

RNG = random.Random(5)
TURN_ID, OTHER_ID, FIRST, SECOND, THIRD = (uuid7(T0 + i, RNG) for i in range(5))


def joined(*events: Turn | Outcome) -> list[dict[str, Any]]:
    found = tables_of(Batch.of({0: records(events)}))
    return join(found.turns, found.outcomes).to_dicts()


def said(*outcomes: Outcome) -> dict[str, Any]:
    """The row of one turn with these outcomes."""
    (row,) = joined(turn(TURN_ID), *outcomes)
    return row


def report(outcome_id: bytes, **fields: Any) -> Outcome:
    return outcome(TURN_ID, outcome_id, **{"scores": {}, **fields})


def test_a_turn_without_outcomes() -> None:
    row = said()
    assert (row["arm"], row["arm_served"]) == ("a", "a")
    assert (row["status"], row["latency_ms"], row["last_outcome_at"]) == (None, None, None)
    assert (row["outcomes"], row["scores"], row["signals"]) == (0, [], [])


def test_the_first_report_of_each_metric_stands() -> None:
    row = said(
        report(FIRST, status="ok", latency_ms=100.0, scores={"quality": 0.25}),
        report(SECOND, status="error", cost_usd=0.5, scores={"quality": 1.0, "style": 0.5}),
        report(THIRD, latency_ms=7.0, cost_usd=9.0, tokens_in=3, signals=("retry", "retry")),
    )
    assert (row["status"], row["latency_ms"], row["cost_usd"]) == ("ok", 100.0, 0.5)
    assert row["tokens_in"] == 3
    assert {s["metric"]: s["value"] for s in row["scores"]} == {"quality": 0.25, "style": 0.5}
    assert row["signals"] == ["retry"]
    assert row["outcomes"] == 3


def test_an_outcome_may_overtake_its_turn() -> None:
    (row,) = joined(report(FIRST, status="ok"), turn(TURN_ID))
    assert row["status"] == "ok"


def test_a_failed_call_took_no_time_to_answer() -> None:
    row = said(
        report(FIRST, status="timeout", latency_ms=30_000.0, tokens_in=5),
        report(SECOND, latency_ms=80.0, ttft_ms=8.0),
    )
    assert (row["status"], row["latency_ms"], row["ttft_ms"]) == ("timeout", 80.0, 8.0)
    assert row["tokens_in"] == 5


def test_cancelled_is_said_where_nobody_says_how_the_call_ended() -> None:
    assert said(report(FIRST, status="cancelled"))["status"] == "cancelled"
    both = said(report(FIRST, status="cancelled"), report(SECOND, status="ok"))
    assert both["status"] == "ok"


def test_the_arm_that_answered() -> None:
    assert said(report(FIRST, status="ok", arm_served="b"))["arm_served"] == "b"
    (observed,) = joined(turn(TURN_ID, mode="observe", arm_served="b"))
    assert (observed["arm"], observed["arm_served"]) == ("a", "b")


def test_a_repeated_turn_has_one_row_and_a_repeated_outcome_counts_once() -> None:
    again = report(FIRST, status="ok")
    (row,) = joined(turn(TURN_ID), again, turn(TURN_ID), again)
    assert (row["offset"], row["outcomes"]) == (0, 1)


def test_outcomes_of_other_turns_stay_with_them() -> None:
    rows = joined(turn(TURN_ID), turn(OTHER_ID), outcome(OTHER_ID, FIRST, status="error"))
    assert [row["status"] for row in rows] == [None, "error"]


def test_an_impossible_outcome_counts_for_nothing() -> None:
    impossible = [
        report(FIRST, status="ok", latency_ms=-1.0),
        report(FIRST, status="ok", cost_usd=float("nan")),
        report(FIRST, status="ok", scores={"quality": 1.5}),
        report(FIRST, status="ok", scores={"success": 1.0}),
        report(FIRST, status="ok", signals=("joy",)),
        report(FIRST, status="none"),
    ]
    for wrong in impossible:
        assert said(wrong)["outcomes"] == 0, wrong


def test_a_turn_that_could_not_be_has_no_row() -> None:
    assert joined(turn(TURN_ID, probability=0.0)) == []
    assert joined(turn(TURN_ID, reaction=("retry",))) == []


def test_a_correction_stands_in_place_of_what_it_voids() -> None:
    row = said(
        report(FIRST, status="ok", latency_ms=90.0, scores={"quality": 0.9}),
        report(SECOND, scores={"quality": 0.5}, cost_usd=0.5),
        report(THIRD, voids=FIRST, scores={"quality": 0.1}),
    )
    assert row["scores"] == [{"metric": "quality", "value": 0.1}]
    assert (row["status"], row["latency_ms"], row["cost_usd"]) == (None, None, 0.5)
    assert row["outcomes"] == 2


def test_where_one_is_void_the_next_that_was_said_counts() -> None:
    row = said(
        report(FIRST, scores={"quality": 0.9}),
        report(SECOND, scores={"quality": 0.5}),
        report(THIRD, voids=FIRST),
    )
    assert row["scores"] == [{"metric": "quality", "value": 0.5}]


def test_a_void_that_overtakes_its_outcome_holds() -> None:
    row = said(report(SECOND, voids=FIRST), report(FIRST, status="ok"))
    assert row["status"] is None


def test_what_is_void_stays_void() -> None:
    row = said(
        report(FIRST, status="ok"),
        report(SECOND, voids=FIRST),
        report(THIRD, voids=SECOND),
        report(FIRST, status="ok"),
    )
    assert row["status"] is None
