"""POST /v1/routers/{router}/picks."""

from __future__ import annotations

from uuid import UUID

import pytest

from schemas.events import Turn, uuid7_time_ms
from tests.unit.http.asgi import Caller
from tests.unit.http.loopback import Log, Picking

PICKS = "/v1/routers/main/picks"
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_pick_is_what_the_turn_says(pick: Picking, log: Log) -> None:
    picked = await pick(
        session_id="s-1", messages=[{"role": "user", "content": "Fix this bug:\n```py\nx=1\n```"}]
    )
    (turn,) = log.of(Turn)
    assert UUID(picked["turn_id"]).bytes == turn.turn_id
    assert picked["arm"] == turn.arm
    assert picked["request_type"] == turn.request_type
    assert picked["probability"] == turn.probability
    assert picked["snapshot"] == {"version": turn.snapshot_version, "age_ms": None}
    assert {picked["arm"], *picked["fallbacks"]} == set(turn.eligible) == {"cheap", "good", "best"}
    assert (turn.session_id, turn.router, turn.router_version) == ("s-1", "main", 1)
    assert uuid7_time_ms(turn.turn_id) == turn.occurred_at


async def test_an_empty_object_is_enough(pick: Picking) -> None:
    assert (await pick())["request_type"] == "general"


async def test_a_session_stays_with_its_arm(pick: Picking) -> None:
    arms = {(await pick(session_id="s-7"))["arm"] for _ in range(20)}
    assert len(arms) == 1


async def test_the_turn_knows_its_previous_turn(pick: Picking, log: Log) -> None:
    first = await pick(session_id="s")
    await pick(session_id="s", previous_turn=first["turn_token"])
    assert log.of(Turn)[1].previous_turn_id == UUID(first["turn_id"]).bytes


async def test_exclusions_hold(pick: Picking) -> None:
    for _ in range(20):
        picked = await pick(exclude=["good"])
        assert "good" not in (picked["arm"], *picked["fallbacks"])


async def test_the_header_demands_a_tier(api: Caller, log: Log) -> None:
    await api.post(PICKS, {}, {"x-min-quality-tier": "3"})
    assert log.of(Turn)[0].eligible == ("best",)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({}, {"x-litellm-min-quality-tier": "3"}),
        ({"metadata": {"min_quality_tier": 3}}, {}),
        ({"metadata": {"min_quality_tier": "3", "trace": {"id": 1}}}, {}),
        ({"metadata": {"min_quality_tier": 2}}, {"x-litellm-min-quality-tier": "3"}),
    ],
)
async def test_litellms_header_and_metadata_key_demand_a_tier(
    api: Caller, log: Log, body: dict[str, object], headers: dict[str, str]
) -> None:
    await api.post(PICKS, body, headers)
    assert log.of(Turn)[0].eligible == ("best",)


async def test_the_body_wins_over_the_header(api: Caller, log: Log) -> None:
    await api.post(PICKS, {"min_quality_tier": 2}, {"x-min-quality-tier": "3"})
    assert log.of(Turn)[0].eligible == ("good", "best")


@pytest.mark.parametrize("value", ["0", "4", "two", "", "1.0", "\u00b2", "1, 2"])
async def test_a_bad_tier_header_is_named(api: Caller, value: str) -> None:
    answer = await api.post(PICKS, {}, {"x-min-quality-tier": value})
    assert (answer.status, answer.kind) == (422, "invalid-request")
    assert answer.fields == ["x-min-quality-tier"]


async def test_a_trace_context_goes_with_the_turn(api: Caller, log: Log) -> None:
    await api.post(PICKS, {}, {"traceparent": TRACE})
    await api.post(PICKS, {}, {"traceparent": "not a trace"})
    assert log.traceparents[-2:] == [TRACE, None]


async def test_an_unknown_router_is_a_404(api: Caller) -> None:
    answer = await api.post("/v1/routers/nobody/picks", {})
    assert (answer.status, answer.kind) == (404, "unknown-router")
    assert "'nobody'" in answer.json["detail"]


async def test_an_unknown_arm_in_exclude_is_named_with_its_index(api: Caller) -> None:
    answer = await api.post(PICKS, {"exclude": ["cheap", "nobody"]})
    assert (answer.status, answer.kind, answer.fields) == (422, "unknown-arm", ["exclude.1"])


@pytest.mark.parametrize(
    "body",
    [
        {"exclude": ["cheap", "good", "best"]},
        {"min_quality_tier": 3, "exclude": ["best"]},
    ],
)
async def test_no_eligible_arm_is_a_422(api: Caller, log: Log, body: dict[str, object]) -> None:
    answer = await api.post(PICKS, body)
    assert (answer.status, answer.kind) == (422, "no-eligible-arm")
    assert not log.of(Turn)


async def test_an_unknown_request_type_is_a_422(api: Caller) -> None:
    answer = await api.post(PICKS, {"request_type": "cooking"})
    assert (answer.status, answer.kind) == (422, "unknown-request-type")
    assert answer.fields == ["request_type"]


async def test_a_forged_previous_turn_is_a_422(api: Caller) -> None:
    answer = await api.post(PICKS, {"previous_turn": "forged.token"})
    assert (answer.status, answer.kind, answer.fields) == (422, "bad-token", ["previous_turn"])


async def test_picks_are_503_until_the_state_is_read(api: Caller, log: Log) -> None:
    log.is_read = False
    answer = await api.post(PICKS, {})
    assert (answer.status, answer.kind) == (503, "not-ready")
    assert int(answer.headers["retry-after"]) >= 1
    log.is_read = True
    assert (await api.post(PICKS, {})).status == 200


async def test_a_long_session_id_of_any_script_fits_into_the_token(pick: Picking) -> None:
    first = await pick(session_id="\U0001f600" * 256)
    await pick(session_id="\U0001f600" * 256, previous_turn=first["turn_token"])
