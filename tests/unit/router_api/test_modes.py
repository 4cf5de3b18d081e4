"""Modes: live decides, observe logs what it would have done, bypass does nothing."""

from __future__ import annotations

from typing import Any

import pytest

from router_api.errors import NoEligibleArm, UnknownArm
from router_api.routing.router import recompute
from schemas.events import Turn
from tests.factories import config
from tests.replicas import NOW_MS, TOKENS, Replica, replica
from tests.snapshots import observed, snapshot

GOOD_A = snapshot(observed("a", [1.0] * 200))


def learned(mode: str, **fields: Any) -> Replica:
    """A replica that knows arm a to be good, of three."""
    made = replica(arms="abc", mode=mode, **fields)
    made.directory.apply_snapshot(GOOD_A, NOW_MS)
    return made


def turn_of(made: Replica) -> Turn:
    ((turn, _),) = made.emitted
    assert isinstance(turn, Turn)
    return turn


def test_observe_leaves_the_traffic_and_logs_what_it_would_have_picked() -> None:
    made = learned("observe")
    pick = made.pick(request_type="general", serving="c")
    turn = turn_of(made)

    assert (pick.arm, pick.chosen, pick.mode) == ("c", "a", "observe")
    assert (turn.arm, turn.arm_served, turn.mode) == ("a", "c", "observe")
    assert turn.probability == pick.probability > 0.9
    assert pick.fallbacks == ("a", "b")
    assert made.count("routefold_picks_total", router="r", request_type="general", arm="c") == 1


def test_observe_chooses_as_live_does() -> None:
    for session in map(str, range(20)):
        live, observing = learned("live"), learned("observe")
        decided = live.pick(session_id=session, request_type="general")
        seen = observing.pick(session_id=session, request_type="general", serving="b")
        assert (seen.chosen, seen.probability) == (decided.arm, decided.probability)
        reading = observing.directory.state("r").of("general").read()
        observed_turn = turn_of(observing)
        again = recompute(observed_turn, config(arms="abc", mode="observe"), reading)
        assert (again.arm, again.probability) == (observed_turn.arm, observed_turn.probability)


def test_outcomes_of_an_observed_turn_are_the_serving_arms() -> None:
    pick = learned("observe").pick(request_type="general", serving="c")
    assert TOKENS.read(pick.turn_token).arm == "c"


def test_where_both_agree_nothing_is_said_twice() -> None:
    made = learned("observe")
    made.pick(request_type="general", serving="a")
    assert turn_of(made).arm_served is None


@pytest.mark.parametrize("mode", ["observe", "bypass"])
def test_without_a_choice_of_the_gateway_the_first_arm_that_may_serves(mode: str) -> None:
    assert learned(mode).pick(request_type="general").arm == "a"
    assert learned(mode).pick(request_type="general", exclude=["a"]).arm == "b"
    with pytest.raises(NoEligibleArm):
        learned(mode).pick(request_type="general", exclude=["a", "b", "c"])


def test_bypass_chooses_nothing() -> None:
    made = learned("bypass")
    pick = made.pick(request_type="general", serving="b")
    turn = turn_of(made)

    assert (pick.arm, pick.chosen, pick.probability) == ("b", "b", 1.0)
    assert (turn.mode, turn.eligible, turn.snapshot_version) == ("bypass", ("b",), "-")
    assert pick.fallbacks == ("a", "c")


def test_live_is_not_told_whom_to_pick() -> None:
    made = learned("live")
    pick = made.pick(request_type="general", serving="c")
    assert (pick.arm, pick.chosen, pick.mode) == ("a", "a", "live")
    assert turn_of(made).arm_served is None


@pytest.mark.parametrize("mode", ["observe", "bypass"])
def test_serving_must_be_an_arm(mode: str) -> None:
    with pytest.raises(UnknownArm, match="no arm 'x'; it has 'a', 'b', 'c'") as caught:
        learned(mode).pick(request_type="general", serving="x")
    assert caught.value.field == "serving"


def test_a_deployment_serves_by_its_own_name() -> None:
    made = replica(arms=["m", "b"], mode="observe", deployments={"m": ["eu", "us"]})
    assert made.pick(request_type="general", serving="us").arm == "us"
    with pytest.raises(UnknownArm, match="no arm 'm'"):
        made.pick(request_type="general", serving="m")
