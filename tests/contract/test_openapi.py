"""The OpenAPI document is true: real requests and real answers are held against it.

Raw routes state by hand what goes in and out; nothing else would notice if they were wrong.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import validate

from router_api.http.app import create_app
from schemas.evidence import SeriesKey, Sums
from schemas.snapshot import Snapshot
from tests.factories import T0
from tests.unit.http.asgi import Answer, Caller
from tests.unit.http.loopback import CONFIG, Log, loopback_service

PICKS = "/v1/routers/{router}/picks"
OUTCOMES = "/v1/outcomes"
ROUTERS = "/v1/routers"
STATE = "/v1/routers/{router}/state"
ROUTER = "/v1/routers/{router}"
MESSAGES = [{"role": "user", "content": [{"type": "text", "text": "What is a monad?"}]}]
COMPLETION = {"status": "timeout", "latency_ms": 30_000, "tokens_in": 12, "cost_usd": 0}
FULL_CONFIG = CONFIG | {
    "router": "main",
    "weights": {"quality": 0.6, "cost": 0.4},
    "half_lives_s": {"quality": {"slow": 86_400, "fast": None}},
    "prior": {"mass": 5},
    "min_probability": 0.05,
    "request_types": ["chat", "code"],
}


LEARNED = Snapshot(
    router="main",
    request_type="general",
    partition=2,
    epoch=1,
    source_offset=7,
    as_of_ms=T0,
    folded=6,
    duplicates=1,
    late=0,
    seen_ms={"good": T0},
    evidence={
        SeriesKey("good", "quality", "slow", 0, 0): Sums(4 << 16, 3 << 26, 3 << 36),
        SeriesKey("good", "latency_ms", "slow", 0, 0): Sums(2 << 16, 1280 << 16, 819_200 << 16),
    },
)


class Exchange(NamedTuple):
    """A request, and the status it must get. "TOKEN" in a body stands for a token of "main"."""

    method: str
    path: str
    status: int
    body: Any = None
    router: str = "main"
    raw: bytes | None = None
    content_type: str = "application/json"


GOOD = [
    Exchange("POST", PICKS, 200, {}),
    Exchange("POST", PICKS, 200, {"session_id": "s", "messages": MESSAGES, "exclude": ["good"]}),
    Exchange("POST", PICKS, 200, {"request_type": "writing", "previous_turn": "TOKEN"}),
    Exchange("POST", PICKS, 200, {"session_id": None, "messages": None, "min_quality_tier": 2}),
    Exchange("POST", OUTCOMES, 202, {"turn_token": "TOKEN", "completion": COMPLETION}),
    Exchange("POST", OUTCOMES, 202, [{"turn_token": "TOKEN", "scores": {"quality": 1}}] * 3),
    Exchange(
        "POST",
        OUTCOMES,
        202,
        {
            "turn_token": "TOKEN",
            "outcome_id": "0190163d-8694-739b-aea5-966c26f8ad91",
            "arm_served": "good",
            "scores": {"quality": 0},
            "occurred_at": "2026-01-31T09:30:00.25+01:00",
        },
    ),
    Exchange(
        "POST",
        OUTCOMES,
        202,
        {"turn_token": "TOKEN", "voids": "0190163d-8694-739b-aea5-966c26f8ad91", "signals": None},
    ),
    Exchange("GET", ROUTERS, 200),
    Exchange("GET", STATE, 200),
    Exchange("PUT", ROUTER, 200, CONFIG),
    Exchange("PUT", ROUTER, 200, FULL_CONFIG),
    Exchange("GET", "/healthz", 200),
    Exchange("GET", "/readyz", 200),
]
# Bodies that the schema itself must refuse, as the server does.
BEYOND_THE_SCHEMA = [
    Exchange("POST", PICKS, 422, {"session_id": ""}),
    Exchange("POST", PICKS, 422, {"session_id": "s" * 257}),
    Exchange("POST", PICKS, 422, {"session_id": "a\nb"}),
    Exchange("POST", PICKS, 422, {"messages": "hello"}),
    Exchange("POST", PICKS, 422, {"min_quality_tier": 4}),
    Exchange("POST", PICKS, 422, {"unknown": 1}),
    Exchange("POST", PICKS, 422, []),
    Exchange("POST", OUTCOMES, 422, []),
    Exchange("POST", OUTCOMES, 422, [{"turn_token": "TOKEN", "scores": {"quality": 1}}] * 1001),
    Exchange("POST", OUTCOMES, 422, {"scores": {"quality": 1}}),
    Exchange("POST", OUTCOMES, 422, {"turn_token": "TOKEN", "scores": {"quality": 1.5}}),
    Exchange("POST", OUTCOMES, 422, {"turn_token": "TOKEN", "scores": {"quality": True}}),
    Exchange("POST", OUTCOMES, 422, {"turn_token": "TOKEN", "completion": {"latency_ms": 1}}),
    Exchange("POST", OUTCOMES, 422, {"turn_token": "TOKEN", "occurred_at": "2026-01-31"}),
    Exchange("POST", OUTCOMES, 422, {"turn_token": "TOKEN", "outcome_id": "7"}),
    Exchange("POST", OUTCOMES, 422, {"turn_token": "TOKEN", "voids": "7"}),
    Exchange("POST", OUTCOMES, 422, {"turn_token": "TOKEN", "signals": ["anger"]}),
    Exchange("PUT", ROUTER, 422, {"arms": []}),
    Exchange("PUT", ROUTER, 422, {"arms": [{"name": "a"}], "wieghts": {}}),
    Exchange("PUT", ROUTER, 422, {"arms": [{"name": "a", "tier": 9}]}),
]
OTHERWISE_BAD = [
    Exchange("POST", PICKS, 400, raw=b"{"),
    Exchange("POST", PICKS, 404, {}, router="nobody"),
    Exchange("POST", PICKS, 413, raw=b" " * 1_048_577),
    Exchange("POST", PICKS, 415, raw=b"{}", content_type="text/plain"),
    Exchange("POST", PICKS, 422, {"exclude": ["nobody"]}),
    Exchange("POST", PICKS, 422, {"exclude": ["cheap", "good", "best"]}),
    Exchange("POST", PICKS, 422, {"request_type": "cooking"}),
    Exchange("POST", PICKS, 422, {"previous_turn": "forged"}),
    Exchange("POST", OUTCOMES, 400, raw=b"[NaN]"),
    Exchange("POST", OUTCOMES, 413, raw=b" " * 1_048_577),
    Exchange("POST", OUTCOMES, 415, raw=b"{}", content_type="text/plain"),
    Exchange("POST", OUTCOMES, 422, {"turn_token": "forged", "scores": {"quality": 1}}),
    Exchange("POST", OUTCOMES, 422, {"turn_token": "TOKEN", "scores": {"wit": 1}}),
    Exchange("POST", OUTCOMES, 422, {"turn_token": "TOKEN", "signals": ["failure"]}),
    Exchange("GET", STATE, 404, router="nobody"),
    Exchange("PUT", ROUTER, 400, raw=b""),
    Exchange("PUT", ROUTER, 413, raw=b" " * 1_048_577),
    Exchange("PUT", ROUTER, 415, raw=b"{}", content_type="text/plain"),
]
# Answered with a 503 when neither broker nor spool takes events; everything else needs neither.
PUBLISHING = [
    exchange._replace(status=503)
    for exchange in GOOD
    if exchange.path == OUTCOMES or exchange.body == FULL_CONFIG
]
NOT_READY = [exchange._replace(status=503) for exchange in GOOD if exchange.path != "/healthz"]


def name_of(exchange: Exchange) -> str:
    """A test's name, of readable length."""
    body = exchange.raw if exchange.body is None else exchange.body
    return f"{exchange.method} {exchange.path} {exchange.status} {str(body)[:50]}"


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch, log: Log) -> AsyncIterator[Caller]:
    """A client of the API, which knows the router "main"."""
    service = loopback_service(monkeypatch, log)
    await service.start()
    caller = Caller(create_app(service))
    await caller.put("/v1/routers/main", CONFIG)
    log.directory.apply_snapshot(LEARNED, applied_at_ms=T0)
    yield caller
    await service.stop()


@pytest.fixture
async def document(api: Caller) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.get("/openapi.json")).json
    return answer


@pytest.fixture
async def token(api: Caller) -> str:
    return str((await api.post("/v1/routers/main/picks", {})).json["turn_token"])


def filled(body: Any, token: str) -> Any:
    """The body with the token in its place."""
    return json.loads(json.dumps(body).replace("TOKEN", token))


def is_valid(instance: Any, schema: dict[str, Any], document: dict[str, Any]) -> bool:
    validator = OAS31Validator(
        {**schema, "components": document["components"]}, format_checker=oas31_format_checker
    )
    return bool(validator.is_valid(instance))


def request_schema(exchange: Exchange, document: dict[str, Any]) -> dict[str, Any]:
    operation = document["paths"][exchange.path][exchange.method.lower()]
    schema: dict[str, Any] = operation["requestBody"]["content"]["application/json"]["schema"]
    return schema


async def exchanged(api: Caller, exchange: Exchange, token: str) -> Answer:
    content = exchange.raw
    if content is None:
        content = (
            b"" if exchange.body is None else json.dumps(filled(exchange.body, token)).encode()
        )
    path = exchange.path.format(router=exchange.router)
    return await api.call(exchange.method, path, [content], {"content-type": exchange.content_type})


def assert_documented(exchange: Exchange, answer: Answer, document: dict[str, Any]) -> None:
    """The answer's status, content type, body and headers are as the document says."""
    assert answer.status == exchange.status, answer.body
    response = document["paths"][exchange.path][exchange.method.lower()]["responses"][
        str(answer.status)
    ]
    schema = response["content"][answer.headers["content-type"]]["schema"]
    assert is_valid(answer.json, schema, document), answer.body
    assert set(map(str.lower, response.get("headers", {}))) <= set(answer.headers)
    if answer.status >= 400:
        assert f"- {answer.kind}: " in response["description"]


async def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


@pytest.mark.parametrize("exchange", [*GOOD, *BEYOND_THE_SCHEMA, *OTHERWISE_BAD], ids=name_of)
async def test_answers_are_as_documented(
    api: Caller, document: dict[str, Any], token: str, exchange: Exchange
) -> None:
    assert_documented(exchange, await exchanged(api, exchange, token), document)


@pytest.mark.parametrize("exchange", NOT_READY, ids=name_of)
async def test_answers_before_the_state_is_read_are_as_documented(
    api: Caller, log: Log, document: dict[str, Any], token: str, exchange: Exchange
) -> None:
    log.is_read = False
    assert_documented(exchange, await exchanged(api, exchange, token), document)


@pytest.mark.parametrize("exchange", PUBLISHING, ids=name_of)
async def test_answers_when_nothing_takes_events_are_as_documented(
    api: Caller, log: Log, document: dict[str, Any], token: str, exchange: Exchange
) -> None:
    log.takes_events = False
    assert_documented(exchange, await exchanged(api, exchange, token), document)


async def test_what_has_been_learned_is_in_the_documented_state(
    api: Caller, document: dict[str, Any], token: str
) -> None:
    exchange = Exchange("GET", STATE, 200)
    answer = await exchanged(api, exchange, token)
    assert_documented(exchange, answer, document)
    metrics = [cell["metrics"] for cell in answer.json["cells"] if cell["metrics"]]
    assert [metric["mean"] for metric in metrics[0].values()] == pytest.approx([1024.0, 0.75])
    picked = await exchanged(api, Exchange("POST", PICKS, 200, {"request_type": "general"}), token)
    assert picked.json["snapshot"]["age_ms"] > 0


@pytest.mark.parametrize("exchange", [each for each in GOOD if each.body is not None], ids=name_of)
async def test_the_schema_takes_what_the_server_takes(
    document: dict[str, Any], token: str, exchange: Exchange
) -> None:
    body = filled(exchange.body, token)
    assert is_valid(body, request_schema(exchange, document), document)


@pytest.mark.parametrize("exchange", BEYOND_THE_SCHEMA, ids=name_of)
async def test_the_schema_refuses_what_the_server_refuses(
    document: dict[str, Any], token: str, exchange: Exchange
) -> None:
    body = filled(exchange.body, token)
    assert not is_valid(body, request_schema(exchange, document), document)


async def test_every_documented_answer_has_been_seen(document: dict[str, Any]) -> None:
    documented = {
        (method.upper(), path, int(status))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for status in operation["responses"]
        if status != "500"
    }
    seen = [*GOOD, *BEYOND_THE_SCHEMA, *OTHERWISE_BAD, *NOT_READY]
    assert documented == {(each.method, each.path, each.status) for each in seen}


async def test_operations_have_names_that_generated_clients_can_use(
    document: dict[str, Any],
) -> None:
    names = {
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    }
    assert names == {
        "pick",
        "report_outcomes",
        "list_routers",
        "router_state",
        "configure_router",
        "healthz",
        "readyz",
    }
