"""Every error is a problem document, and none of them tells what it should not."""

from __future__ import annotations

import json

import pytest
import structlog.testing
from fastapi import FastAPI, HTTPException
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from starlette.requests import ClientDisconnect

from router_api.http.app import create_app
from router_api.http.limits import MAX_BODY_BYTES
from router_api.service import RoutingService
from schemas.events import Outcome, Turn
from tests.unit.http.asgi import Caller
from tests.unit.http.loopback import Log

PICKS = "/v1/routers/main/picks"
OUTCOMES = "/v1/outcomes"
JSON = {"content-type": "application/json"}
SECRET = "the patient's name is Smith"


@pytest.mark.parametrize("path", [PICKS, OUTCOMES])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null,",
        b"{'a': 1}",
        b'{"session_id": "\xff"}',
        b'{"session_id": "\\ud800"}',
        b'{"session_id": "a", "session_id": "b"}',
        b'{"scores": {"quality": NaN}}',
        b'{"scores": {"quality": Infinity}}',
        b'{"scores": {"quality": ' + b"1" * 5000 + b"}}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"messages": [' * 10_000,
        b"{" + b",".join(b'"%d": 1' % number for number in range(10_001)) + b"}",
    ],
    ids=lambda body: repr(body[:28]) if isinstance(body, bytes) else body,
)
async def test_a_malformed_body_is_a_400(api: Caller, path: str, body: bytes) -> None:
    answer = await api.send("POST", path, body)
    assert (answer.status, answer.kind, answer.fields) == (400, "malformed-json", ["body"])


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 400, "1e400"])
async def test_a_number_beyond_all_bounds_is_a_422(api: Caller, number: str) -> None:
    body = f'{{"turn_token": "t", "scores": {{"quality": {number}}}}}'
    answer = await api.send("POST", OUTCOMES, body.encode())
    assert (answer.status, answer.fields) == (422, ["scores.quality"])


async def test_deep_nesting_below_the_parsers_limit_does_no_harm(api: Caller) -> None:
    deep = b'{"messages": [{"role": "user", "content": ' + b"[" * 300 + b"]" * 300 + b"}]}"
    assert (await api.send("POST", PICKS, deep)).status == 200


@pytest.mark.parametrize("path", [PICKS, OUTCOMES])
async def test_a_body_over_the_limit_is_a_413(api: Caller, log: Log, path: str) -> None:
    chunk = b" " * 65_536
    chunked = await api.call("POST", path, [chunk] * 17, JSON)
    assert (chunked.status, chunked.kind) == (413, "body-too-large")
    lying = await api.call("POST", path, [chunk] * 17, JSON | {"content-length": "2"})
    assert lying.kind == "body-too-large"
    declared = {"content-length": str(MAX_BODY_BYTES + 1)}
    honest = await api.call("POST", path, [b"{}"], JSON | declared)
    assert honest.kind == "body-too-large"


async def test_a_body_of_just_the_limit_is_read(api: Caller) -> None:
    padded = b"{}".ljust(MAX_BODY_BYTES)
    assert (await api.send("POST", PICKS, padded)).status == 200


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"]
)
async def test_a_body_not_declared_as_json_is_a_415(api: Caller, content_type: str) -> None:
    answer = await api.call("POST", PICKS, [b"{}"], {"content-type": content_type})
    assert (answer.status, answer.kind) == (415, "not-json")
    assert (await api.call("POST", PICKS, [b"{}"], {})).kind == "not-json"


async def test_json_may_have_parameters(api: Caller) -> None:
    headers = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await api.call("POST", PICKS, [b"{}"], headers)).status == 200


async def test_an_address_that_does_not_exist_is_a_404(api: Caller) -> None:
    for path in ("/nowhere", "/v1/outcomes/", "/v1"):
        answer = await api.get(path)
        assert (answer.status, answer.kind) == (404, "not-found")


async def test_a_method_that_does_not_exist_is_a_405_with_those_that_do(api: Caller) -> None:
    answer = await api.get(OUTCOMES)
    assert (answer.status, answer.kind) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"


async def test_long_names_and_many_faults_are_cut_short(api: Caller) -> None:
    many = await api.post(OUTCOMES, {f"nonsense{number}": 1 for number in range(1000)})
    assert len(many.json["errors"]) == 20
    assert "(1000 more)" in many.json["detail"]
    long = await api.post(PICKS, {"x" * 100_000: 1})
    assert len(long.body) < 2_000


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (PICKS, {"messages": SECRET}),
        (PICKS, {"messages": [SECRET]}),
        (PICKS, {"session_id": SECRET * 50}),
        (PICKS, {"previous_turn": SECRET}),
        (PICKS, {"messages": [{"role": "user", "content": SECRET}], "min_quality_tier": SECRET}),
        (OUTCOMES, {"turn_token": SECRET}),
        (OUTCOMES, {"turn_token": SECRET * 500}),
        (OUTCOMES, {"turn_token": "t", "scores": {"quality": SECRET}}),
        (OUTCOMES, {"turn_token": "t", "outcome_id": SECRET}),
        (OUTCOMES, {"turn_token": "t", "occurred_at": SECRET}),
        (OUTCOMES, {"turn_token": "t", "completion": {"status": SECRET}}),
        (OUTCOMES, [SECRET]),
    ],
)
async def test_values_are_not_echoed(api: Caller, path: str, body: object) -> None:
    with structlog.testing.capture_logs() as entries:
        answer = await api.post(path, body)
    assert answer.status == 422
    assert b"Smith" not in answer.body
    assert not entries


class Body(BaseModel):
    """A body that FastAPI reads itself."""

    size: int


def crashing(service: RoutingService) -> FastAPI:
    """The application with routes that fail as a bug would, and two that FastAPI handles itself."""
    app = create_app(service, registry=CollectorRegistry())

    @app.get("/crash")
    async def crash() -> None:
        try:
            dict[str, int]()[SECRET]
        except KeyError as error:
            raise ValueError(SECRET) from error

    @app.get("/gone")
    async def gone() -> None:
        raise ClientDisconnect

    @app.get("/teapot")
    async def teapot() -> None:
        raise HTTPException(418, "short and stout")

    @app.post("/typed/{number}")
    async def typed(number: int, body: Body, limit: int = 1) -> int:
        return number + body.size + limit

    return app


async def test_a_crash_is_a_500_that_leads_to_the_log_and_tells_nothing(
    service: RoutingService,
) -> None:
    caller = Caller(crashing(service))
    with structlog.testing.capture_logs() as entries:
        answer = await caller.get("/crash")
    assert (answer.status, answer.kind) == (500, "internal-error")
    assert b"Smith" not in answer.body
    assert b"ValueError" not in answer.body
    (entry,) = entries
    assert entry["correlation_id"] == answer.json["correlation_id"]
    assert entry["error"] == "ValueError from KeyError"
    assert entry["route"] == "/crash"
    assert any("test_problems.py" in frame and "crash" in frame for frame in entry["frames"])
    assert "Smith" not in json.dumps(entry)


async def test_a_client_that_went_away_is_not_a_crash(service: RoutingService) -> None:
    app = crashing(service)
    with structlog.testing.capture_logs() as entries, pytest.raises(IndexError):
        await Caller(app).get("/gone")  # nothing was answered
    assert not entries


async def test_other_http_errors_are_problems_too(service: RoutingService) -> None:
    answer = await Caller(crashing(service)).get("/teapot")
    assert (answer.status, answer.kind) == (418, "http-418")


async def test_fastapis_own_validation_is_a_problem_that_names_the_field(
    service: RoutingService,
) -> None:
    answer = await Caller(crashing(service)).post("/typed/seven?limit=many", {"size": SECRET})
    assert (answer.status, answer.kind) == (422, "invalid-request")
    assert set(answer.fields) == {"path.number", "query.limit", "body.size"}
    assert b"Smith" not in answer.body
    broken = await Caller(crashing(service)).send("POST", "/typed/7", b"{")
    assert (broken.status, broken.kind) == (422, "invalid-request")


async def test_the_limit_holds_where_fastapi_reads_the_body(service: RoutingService) -> None:
    big = [b" " * 65_536] * 17
    answer = await Caller(crashing(service)).call("POST", "/typed/7", big, JSON)
    assert (answer.status, answer.kind) == (413, "body-too-large")


async def test_nothing_refused_is_published(api: Caller, log: Log) -> None:
    await api.send("POST", PICKS, b"{")
    await api.post(PICKS, {"unknown": 1})
    await api.post(OUTCOMES, {"turn_token": "forged"})
    assert not log.of(Turn)
    assert not log.of(Outcome)
