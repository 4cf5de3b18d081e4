"""Outcome reports: what is refused, under which field, and what becomes of the rest."""

from __future__ import annotations

import math
import random
from typing import Any
from uuid import UUID

import pytest

from router_api.errors import BadToken, InvalidReport, UnknownArm
from router_api.reports import MAX_AHEAD_MS, OutcomeReport, to_outcome
from router_api.routing.router import Router
from router_api.routing.state import RouterState
from router_api.tokens import TurnAddress, TurnTokens
from schemas.codec import decode, encode
from schemas.events import Outcome
from tests.factories import T0, config, uuid7

TOKENS = TurnTokens(["k" * 64])
ADDRESS = TurnAddress(uuid7(T0, random.Random(1)), "s-1", "r", "writing", "a")
OWN_ID = uuid7(T0, random.Random(2))
REWARDS = {"quality": 1.0, "kept_only": 0.0, "error": 1.0, "success": 0.5, "failure": 0.5}
ROUTER = Router(
    config(arms="ab", rewards=REWARDS),
    1,
    RouterState(),
)
NOW_MS = T0 + 60_000


def converted(*, token: str | None = None, **fields: Any) -> Outcome:
    report = OutcomeReport(turn_token=TOKENS.issue(ADDRESS) if token is None else token, **fields)
    return to_outcome(
        report,
        path="outcomes.3",
        read_token=TOKENS.read,
        find_router={"r": ROUTER}.get,
        outcome_id=OWN_ID,
        now_ms=NOW_MS,
        source="api@test",
    )


def test_everything_reported_is_in_the_event() -> None:
    given = UUID(int=7)
    outcome = converted(
        outcome_id=given,
        arm_served="b",
        status="error",
        status_code=529,
        latency_ms=812.5,
        ttft_ms=90,
        tokens_in=120,
        tokens_out=0,
        cost_usd=0.004,
        scores={"quality": 0.25, "kept_only": 1},
        occurred_at_ms=T0 + 5,
    )

    assert outcome == Outcome(
        outcome_id=given.bytes,
        turn_id=ADDRESS.turn_id,
        session_id="s-1",
        router="r",
        request_type="writing",
        arm="a",
        arm_served="b",
        status="error",
        status_code=529,
        latency_ms=812.5,
        ttft_ms=90,
        tokens_in=120,
        tokens_out=0,
        cost_usd=0.004,
        scores={"quality": 0.25, "kept_only": 1},
        occurred_at=T0 + 5,
        source="api@test",
    )
    assert decode(encode(outcome)) == outcome


def test_what_is_left_out_is_filled_in() -> None:
    outcome = converted(scores={"quality": 1.0})
    assert outcome.outcome_id == OWN_ID
    assert outcome.occurred_at == NOW_MS
    assert outcome.status == "none"


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "cancelled"},
        {"latency_ms": 0.0},
        {"latency_ms": 1e9},
        {"cost_usd": 0},
        {"tokens_out": 2**31 - 1},
        {"scores": {"quality": 0.0}},
        {"signals": ["failure"]},
        {"voids": UUID(int=1)},
        {"status": "ok", "status_code": 100},
        {"status": "ok", "occurred_at_ms": NOW_MS + MAX_AHEAD_MS},
        {"status": "ok", "occurred_at_ms": 0},
    ],
)
def test_extremes_are_accepted_and_encodable(fields: dict[str, Any]) -> None:
    outcome = converted(**fields)
    assert decode(encode(outcome)) == outcome


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({}, "", "says nothing"),
        ({"status_code": 200}, "", "says nothing"),
        ({"arm_served": "b"}, "", "says nothing"),
        ({"status": "fine"}, ".completion.status", "one of ok, error, timeout, cancelled"),
        ({"status": "none"}, ".completion.status", "one of ok"),
        ({"status": "ok", "status_code": 42}, ".completion.status_code", "100 to 599"),
        ({"latency_ms": -1.0}, ".completion.latency_ms", "0 to 1000000000, got -1.0"),
        ({"latency_ms": 2e9}, ".completion.latency_ms", "0 to"),
        ({"latency_ms": math.nan}, ".completion.latency_ms", "got nan"),
        ({"ttft_ms": math.inf}, ".completion.ttft_ms", "got inf"),
        ({"ttft_ms": True}, ".completion.ttft_ms", "got True"),
        ({"latency_ms": "12"}, ".completion.latency_ms", "got '12'"),
        ({"tokens_in": 1.5}, ".completion.tokens_in", "whole number"),
        ({"tokens_out": 2**31}, ".completion.tokens_out", "0 to 2147483647"),
        ({"cost_usd": 3000.0}, ".completion.cost_usd", "0 to 2147.48"),
        ({"scores": {"quality": 1.01}}, ".scores.quality", "0 to 1, got 1.01"),
        ({"scores": {"quality": -0.01}}, ".scores.quality", "0 to 1"),
        ({"scores": {"quality": math.nan}}, ".scores.quality", "got nan"),
        ({"scores": {"quality": None}}, ".scores.quality", "got None"),
        ({"scores": {"charm": 0.5}}, ".scores.charm", "declares no metric 'charm'.*'quality'"),
        ({"scores": {"error": 0.5}}, ".scores.error", "declares no metric 'error'"),
        ({"scores": {"success": 0.5}}, ".scores.success", "declares no metric"),
        ({"signals": ["anger"]}, ".signals.0", "'anger' is no signal; there are 'satisfaction'"),
        ({"signals": ["failure", "loop"]}, ".signals.1", "not count the signal 'loop'.*'failure'"),
        ({"signals": []}, "", "says nothing"),
        ({"voids": UUID(int=5), "outcome_id": UUID(int=5)}, ".voids", "can't void itself"),
        (
            {"status": "ok", "occurred_at_ms": NOW_MS + MAX_AHEAD_MS + 1},
            ".occurred_at",
            "at most 5 minutes ahead",
        ),
        ({"status": "ok", "occurred_at_ms": -1}, ".occurred_at", "since 1970"),
    ],
)
def test_what_the_fold_would_refuse_is_refused_at_once(
    fields: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(InvalidReport, match=said) as caught:
        converted(**fields)
    assert caught.value.field == f"outcomes.3{field}"


def test_signals_and_what_is_voided_are_in_the_event() -> None:
    outcome = converted(signals=("failure", "failure"), voids=UUID(int=5), status_code=429)
    assert outcome.signals == ("failure", "exhaustion")
    assert outcome.voids == UUID(int=5).bytes
    assert decode(encode(outcome)) == outcome


def test_served_arm_must_be_one_of_the_router() -> None:
    with pytest.raises(UnknownArm, match="no arm 'x'; it has 'a', 'b'") as caught:
        converted(arm_served="x", status="ok")
    assert caught.value.field == "outcomes.3.arm_served"


def test_token_must_be_ours() -> None:
    foreign = TurnTokens(["f" * 64]).issue(ADDRESS)
    with pytest.raises(BadToken) as caught:
        converted(token=foreign, status="ok")
    assert caught.value.field == "outcomes.3.turn_token"


def test_router_of_the_turn_must_be_known() -> None:
    gone = TurnAddress(ADDRESS.turn_id, None, "gone", "writing", "a")
    with pytest.raises(InvalidReport, match="'gone', which is not known here") as caught:
        converted(token=TOKENS.issue(gone), status="ok")
    assert caught.value.field == "outcomes.3.turn_token"


@pytest.mark.parametrize("field", ["tokens_in", "cost_usd", "status_code", "occurred_at_ms"])
def test_absurd_number_is_refused_in_a_short_message(field: str) -> None:
    fields: dict[str, Any] = {"status": "ok", field: 10**10_000}
    with pytest.raises(InvalidReport, match="of 33220 bits") as caught:
        converted(**fields)
    assert len(str(caught.value)) < 200
