"""One pick: the turn that is logged, and what a request may say."""

from __future__ import annotations

from typing import Any

import pytest

from router_api.errors import (
    BadToken,
    InvalidPick,
    NoEligibleArm,
    UnknownArm,
    UnknownRequestType,
    UnknownRouter,
)
from router_api.routing.router import recompute
from router_api.tokens import TurnAddress
from schemas.codec import decode, encode
from schemas.events import Outcome, Turn, is_uuid7, uuid7_time_ms
from tests.replicas import NOW_MS, TOKENS, Messages, replica, thankful
from tests.snapshots import observed, snapshot

MESSAGES = [{"role": "user", "content": "a poem, please"}]


def test_turn_and_answer_agree() -> None:
    made = replica(arms="abc")
    made.directory.apply_snapshot(
        snapshot(observed("a", [1.0, 0.5]), source_offset=9), applied_at_ms=NOW_MS - 250
    )

    pick = made.pick(session_id="s-1", request_type="general", traceparent="00-trace")

    ((turn, traceparent),) = made.emitted
    assert traceparent == "00-trace"
    assert turn == Turn(
        turn_id=pick.turn_id.bytes,
        session_id="s-1",
        router="r",
        router_version=4,
        request_type="general",
        arm=pick.arm,
        eligible=("a", "b", "c"),
        probability=pick.probability,
        snapshot_version="9.-.-.-",
        snapshot_age_ms=250,
        occurred_at=NOW_MS,
        source="api@test",
    )
    assert {pick.arm, *pick.fallbacks} == {"a", "b", "c"}
    assert (pick.snapshot_version, pick.snapshot_age_ms) == ("9.-.-.-", 250)
    assert TOKENS.read(pick.turn_token) == TurnAddress(
        turn.turn_id, "s-1", "r", "general", pick.arm
    )
    assert decode(encode(turn)) == turn


def test_turn_id_holds_the_turns_time() -> None:
    made = replica()
    ids = {made.pick().turn_id.bytes for _ in range(1000)}
    assert len(ids) == 1000
    assert all(is_uuid7(turn_id) and uuid7_time_ms(turn_id) == NOW_MS for turn_id in ids)


def test_every_logged_turn_can_be_recomputed() -> None:
    made = replica(arms="abc", stickiness="turn")
    made.directory.apply_snapshot(snapshot(observed("b", [1.0, 0.0, 1.0])), NOW_MS)
    for i in range(100):
        made.pick(session_id=f"s{i}", exclude=("a",) if i % 4 == 0 else ())

    router = made.directory.get("r")
    reading = router.state.of("general").read()
    assert {turn.arm for turn, _ in made.emitted} == {"a", "b", "c"}
    for turn, _ in made.emitted:
        again = recompute(turn, router.config, reading)
        assert (again.arm, again.probability) == (turn.arm, turn.probability)


def test_session_keeps_its_arm_and_turns_without_one_spread() -> None:
    made = replica(arms="abcd")
    assert len({made.pick(session_id="s-1").arm for _ in range(50)}) == 1
    assert len({made.pick().arm for _ in range(200)}) == 4


def test_age_is_unknown_before_any_evidence() -> None:
    assert replica().pick().snapshot_age_ms is None


def test_clock_set_back_gives_no_negative_age() -> None:
    made = replica()
    made.directory.apply_snapshot(snapshot(), applied_at_ms=NOW_MS + 60_000)
    assert made.pick().snapshot_age_ms == 0


# Request types


def test_stated_type_wins_over_messages() -> None:
    assert replica().pick(request_type="general", messages=MESSAGES).request_type == "general"


def test_messages_are_classified() -> None:
    assert replica().pick(messages=MESSAGES).request_type == "writing"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({}, "general"), ({"request_types": ["coding", "general"]}, "general"),
     ({"request_types": ["coding", "chat"]}, "coding")],
)  # fmt: skip
def test_without_any_hint_the_default_is_used(fields: dict[str, Any], expected: str) -> None:
    assert replica(**fields).pick().request_type == expected
    assert replica(**fields).pick(messages=[]).request_type == expected


def test_classified_type_the_router_does_not_know_becomes_the_default() -> None:
    def unheard_of(messages: Messages) -> str:
        return "poetry"

    made = replica(unheard_of)
    assert made.pick(messages=MESSAGES).request_type == "general"


def test_failing_classifier_costs_the_type_and_not_the_pick() -> None:
    def failing(messages: Messages) -> str:
        raise RuntimeError("broken")

    made = replica(failing)
    assert made.pick(messages=MESSAGES).request_type == "general"
    assert made.count("routefold_classifier_failures_total") == 1.0


# What a request can't say


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        ({"router": "x"}, UnknownRouter, "router"),
        ({"request_type": "poetry"}, UnknownRequestType, "request_type"),
        ({"exclude": ["a", "x"]}, UnknownArm, "exclude.1"),
        ({"exclude": ["a", "b"]}, NoEligibleArm, "exclude"),
        ({"min_quality_tier": 3}, NoEligibleArm, "min_quality_tier"),
        ({"previous_turn": "forged"}, BadToken, "previous_turn"),
        ({"session_id": ""}, InvalidPick, "session_id"),
        ({"session_id": "s" * 257}, InvalidPick, "session_id"),
        ({"session_id": "\ud800"}, InvalidPick, "session_id"),
    ],
)
def test_faults_name_their_field_and_log_no_turn(
    fields: dict[str, Any], error: type[Exception], field: str
) -> None:
    made = replica()
    with pytest.raises(error) as caught:
        made.pick(**fields)
    assert getattr(caught.value, "field") == field  # noqa: B009
    assert made.emitted == []


def test_session_id_may_be_any_text() -> None:
    made = replica()
    pick = made.pick(session_id="Gespräch 🙂" + "x" * 200)
    assert TOKENS.read(pick.turn_token).session_id == made.emitted[0][0].session_id


def test_previous_turn_is_logged_by_its_id() -> None:
    made = replica()
    first = made.pick(session_id="s")
    made.pick(session_id="s", previous_turn=first.turn_token)
    assert made.emitted[1][0].previous_turn_id == first.turn_id.bytes


def test_picks_are_counted() -> None:
    made = replica(arms="a")
    made.pick()
    made.pick()
    with pytest.raises(NoEligibleArm):
        made.pick(exclude=["a"])
    assert made.count("routefold_picks_total", router="r", request_type="general", arm="a") == 2
    assert made.count("routefold_no_eligible_arm_total", router="r") == 1
    assert made.count("routefold_pick_seconds_count") == 2


REWARDS = {"quality": 1.0, "satisfaction": 0.8, "failure": 0.1}
ANSWER = {"role": "assistant", "content": "here it is"}


def test_in_a_session_the_reaction_goes_with_the_turn() -> None:
    made = replica(detector=thankful, rewards=REWARDS)
    made.pick(session_id="s", messages=MESSAGES, request_type="general")
    ((turn, _),) = made.emitted
    assert turn.reaction == ("satisfaction", "failure")


def test_without_a_session_the_reaction_is_an_outcome_of_the_turn_named() -> None:
    made = replica(detector=thankful, rewards=REWARDS)
    first = made.pick(request_type="general")
    made.pick(
        messages=[*MESSAGES, ANSWER, *MESSAGES, ANSWER],
        request_type="general",
        previous_turn=first.turn_token,
        traceparent="00-trace",
    )
    _, (outcome, traceparent), (turn, _) = made.emitted
    assert traceparent == "00-trace"
    assert isinstance(outcome, Outcome)
    assert (outcome.turn_id, outcome.arm) == (first.turn_id.bytes, first.arm)
    assert outcome.signals == ("satisfaction", "failure")
    assert turn.reaction == ()
    assert turn.previous_turn_id == first.turn_id.bytes


def test_the_first_thanks_may_only_close_a_greeting() -> None:
    made = replica(detector=thankful, rewards=REWARDS)
    token = made.pick(request_type="general").turn_token
    made.pick(messages=[*MESSAGES, ANSWER], request_type="general", previous_turn=token)
    (outcome,) = [event for event, _ in made.emitted if isinstance(event, Outcome)]
    assert outcome.signals == ("failure",)


def test_a_reaction_to_nobody_is_not_looked_for() -> None:
    def forbidden(messages: Messages) -> tuple[str, ...]:
        raise AssertionError("there is no turn before")

    made = replica(detector=forbidden, rewards=REWARDS)
    made.pick(messages=MESSAGES, request_type="general")
    assert made.count("routefold_detector_failures_total") == 0


def test_failing_detector_costs_the_reaction_and_not_the_pick() -> None:
    def broken(messages: Messages) -> tuple[str, ...]:
        raise KeyError("role")

    made = replica(detector=broken, rewards=REWARDS)
    made.pick(session_id="s", messages=MESSAGES, request_type="general")
    ((turn, _),) = made.emitted
    assert turn.reaction == ()
    assert made.count("routefold_detector_failures_total") == 1


def test_the_detector_knows_the_signals_of_the_fold() -> None:
    from producer.signals import FAVOURABLE, Signal
    from schemas.metrics import SIGNALS

    assert [signal.value for signal in Signal] == list(SIGNALS)
    assert {signal.value for signal in FAVOURABLE} == {s for s, x in SIGNALS.items() if x == 1.0}


def test_signals_that_do_not_count_are_not_looked_for() -> None:
    def forbidden(messages: Messages) -> tuple[str, ...]:
        raise AssertionError("no signal counts")

    made = replica(detector=forbidden, rewards={"quality": 1.0})
    made.pick(session_id="s", messages=MESSAGES, request_type="general")
    assert made.count("routefold_detector_failures_total") == 0
