"""POST /v1/outcomes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from router_api.http.app import create_app
from schemas.events import Outcome
from tests.unit.http.asgi import Caller
from tests.unit.http.loopback import CONFIG, Log, Picking, loopback_service

OUTCOMES = "/v1/outcomes"
ID = uuid4()


@pytest.fixture
async def token(pick: Picking) -> str:
    """The token of a turn of "main"."""
    return str((await pick(session_id="s-1", request_type="writing"))["turn_token"])


async def test_an_outcome_is_published_with_its_turns_address(
    api: Caller, log: Log, pick: Picking
) -> None:
    picked = await pick(session_id="s-1", request_type="writing")
    outcome_id = uuid4()
    answer = await api.post(
        OUTCOMES,
        {
            "turn_token": picked["turn_token"],
            "outcome_id": str(outcome_id),
            "arm_served": "best",
            "completion": {
                "status": "ok",
                "status_code": 200,
                "latency_ms": 812.5,
                "ttft_ms": 90,
                "tokens_in": 1200,
                "tokens_out": 340,
                "cost_usd": 0.0042,
            },
            "scores": {"quality": 0.8},
            "occurred_at": "2025-01-31T09:30:00.250+01:00",
        },
    )
    assert answer.status == 202
    assert answer.json == {"accepted": 1, "outcome_ids": [str(outcome_id)]}
    assert log.of(Outcome) == [
        Outcome(
            outcome_id=outcome_id.bytes,
            turn_id=UUID(picked["turn_id"]).bytes,
            session_id="s-1",
            router="main",
            request_type="writing",
            arm=picked["arm"],
            arm_served="best",
            status="ok",
            status_code=200,
            latency_ms=812.5,
            ttft_ms=90,
            tokens_in=1200,
            tokens_out=340,
            cost_usd=0.0042,
            scores={"quality": 0.8},
            occurred_at=1738312200250,
            source="test",
        )
    ]


async def test_a_retraction_and_signals_are_published(api: Caller, log: Log, token: str) -> None:
    await api.put("/v1/routers/main", CONFIG | {"rewards": {"quality": 1, "failure": 0.5}})
    wrong, reaction = uuid4(), uuid4()
    answer = await api.post(
        OUTCOMES,
        [
            {"turn_token": token, "voids": str(wrong)},
            {"turn_token": token, "outcome_id": str(reaction), "signals": ["failure"]},
        ],
    )
    assert answer.status == 202
    retraction, told = log.of(Outcome)
    assert (retraction.voids, retraction.scores, retraction.signals) == (wrong.bytes, {}, ())
    assert (told.voids, told.signals) == (None, ("failure",))


async def test_an_array_is_accepted_in_its_order(api: Caller, log: Log, token: str) -> None:
    scores = [0.25, 0.5, 0.75]
    answer = await api.post(
        OUTCOMES, [{"turn_token": token, "scores": {"quality": score}} for score in scores]
    )
    assert (answer.status, answer.json["accepted"]) == (202, 3)
    published = log.of(Outcome)
    assert [outcome.scores["quality"] for outcome in published] == scores
    assert answer.json["outcome_ids"] == [str(UUID(bytes=each.outcome_id)) for each in published]


async def test_a_thousand_at_once_are_accepted(api: Caller, log: Log, token: str) -> None:
    batch = [{"turn_token": token, "completion": {"status": "ok"}}] * 1000
    assert (await api.post(OUTCOMES, batch)).json["accepted"] == 1000
    assert len(log.of(Outcome)) == 1000


@pytest.mark.parametrize("size", [0, 1001])
async def test_an_empty_and_a_too_long_batch_are_422(
    api: Caller, log: Log, token: str, size: int
) -> None:
    answer = await api.post(OUTCOMES, [{"turn_token": token, "scores": {"quality": 1}}] * size)
    assert (answer.status, answer.kind, answer.fields) == (422, "invalid-request", ["outcomes"])
    assert not log.of(Outcome)


@pytest.mark.parametrize(
    ("fault", "kind", "field"),
    [
        ({"scores": {"quality": 1.01}}, "invalid-request", "scores.quality"),
        ({"scores": {"quality": -0.01}}, "invalid-request", "scores.quality"),
        ({"scores": {"wit": 0.5}}, "invalid-outcome", "scores.wit"),
        ({"scores": {"error": 0.5}}, "invalid-outcome", "scores.error"),
        ({"signals": ["anger"]}, "invalid-outcome", "signals.0"),
        ({"signals": ["failure"]}, "invalid-outcome", "signals.0"),
        ({"signals": "failure"}, "invalid-request", "signals"),
        ({"voids": "7"}, "invalid-request", "voids"),
        ({"outcome_id": str(ID), "voids": str(ID)}, "invalid-outcome", "voids"),
        ({"arm_served": "nobody"}, "unknown-arm", "arm_served"),
        ({"turn_token": "forged"}, "bad-token", "turn_token"),
        ({"occurred_at": "2999-01-01T00:00:00Z"}, "invalid-outcome", "occurred_at"),
        ({"occurred_at": "1969-12-31T23:59:59Z"}, "invalid-outcome", "occurred_at"),
    ],
)
async def test_one_bad_outcome_refuses_the_batch_and_is_named(
    api: Caller, log: Log, token: str, fault: dict[str, Any], kind: str, field: str
) -> None:
    good = {"turn_token": token, "scores": {"quality": 1}}
    in_batch = await api.post(OUTCOMES, [good, good, good, good | fault])
    assert (in_batch.status, in_batch.kind) == (422, kind)
    assert in_batch.fields == [f"outcomes.3.{field}"]

    alone = await api.post(OUTCOMES, good | fault)
    assert (alone.status, alone.kind, alone.fields) == (422, kind, [field])
    assert not log.of(Outcome)


async def test_an_outcome_that_says_nothing_is_a_422(api: Caller, token: str) -> None:
    alone = await api.post(OUTCOMES, {"turn_token": token})
    assert (alone.status, alone.kind, alone.fields) == (422, "invalid-outcome", ["body"])
    in_batch = await api.post(OUTCOMES, [{"turn_token": token}])
    assert in_batch.fields == ["outcomes.0"]


async def test_a_time_a_little_ahead_is_a_clock_and_not_a_fault(api: Caller, token: str) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=4)
    answer = await api.post(
        OUTCOMES,
        {"turn_token": token, "scores": {"quality": 1}, "occurred_at": soon.isoformat()},
    )
    assert answer.status == 202


async def test_a_forged_token_is_not_echoed(api: Caller, token: str) -> None:
    payload, _, signature = token.rpartition(".")
    forged = f"{payload}.{signature[::-1]}"
    answer = await api.post(OUTCOMES, {"turn_token": forged, "scores": {"quality": 1}})
    assert (answer.status, answer.kind) == (422, "bad-token")
    assert payload.encode() not in answer.body


async def test_a_token_of_another_installation_is_refused(
    monkeypatch: pytest.MonkeyPatch, api: Caller, token: str
) -> None:
    elsewhere = loopback_service(monkeypatch, Log(), key="another" * 5)
    await elsewhere.start()
    other = Caller(create_app(elsewhere))
    await other.put("/v1/routers/main", CONFIG)
    answer = await other.post(OUTCOMES, {"turn_token": token, "scores": {"quality": 1}})
    assert (answer.status, answer.kind, answer.fields) == (422, "bad-token", ["turn_token"])
    await elsewhere.stop()


async def test_what_nothing_takes_is_a_503_to_be_repeated(
    api: Caller, log: Log, token: str
) -> None:
    outcome = {"turn_token": token, "outcome_id": str(uuid4()), "scores": {"quality": 1}}
    log.takes_events = False
    refused = await api.post(OUTCOMES, outcome)
    assert (refused.status, refused.kind) == (503, "unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert not log.of(Outcome)

    log.takes_events = True
    assert (await api.post(OUTCOMES, outcome)).json["outcome_ids"] == [outcome["outcome_id"]]


async def test_outcomes_are_503_until_the_state_is_read(api: Caller, log: Log, token: str) -> None:
    log.is_read = False
    for body in ({"turn_token": token}, [{"turn_token": token}]):
        answer = await api.post(OUTCOMES, body)
        assert (answer.status, answer.kind) == (503, "not-ready")
        assert "retry-after" in answer.headers


@pytest.mark.parametrize("body", [None, 7, "text", True])
async def test_a_body_that_is_neither_object_nor_array_is_a_422(api: Caller, body: object) -> None:
    answer = await api.post(OUTCOMES, body)
    assert (answer.status, answer.fields) == (422, ["body"])
