"""The HTTP client against an API that answers as a test tells it to, over real connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from producer.client import MAX_ATTEMPTS, ApiError, ApiUnreachable, RoutefoldClient
from producer.errors import ProducerError

PICKED = {
    "turn_id": "0199b6f0-5c00-7000-8000-000000000001",
    "turn_token": "token",
    "arm": "small",
    "request_type": "general",
    "probability": 0.25,
    "fallbacks": ["large"],
    "snapshot": {"version": "12.-", "age_ms": None},
}
BUSY = (503, {"title": "Not ready", "detail": "catching up"})


@dataclass
class Api:
    """Answers requests in turn from `answers`, the last one for ever; None: hangs up."""

    answers: list[tuple[int, Any] | None] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    seen_headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.requests.append((request.method, request.raw_path, json.loads(text) if text else None))
        self.seen_headers.append(dict(request.headers))
        assert request.transport is not None
        self.connections.add(request.transport.get_extra_info("peername"))
        await asyncio.sleep(self.delay_s)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            request.transport.abort()
            return web.Response()
        status, body = answer
        if isinstance(body, str):
            return web.Response(status=status, text=body, headers=self.headers)
        return web.json_response(body, status=status, headers=self.headers)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def connect(api: Api) -> AsyncIterator[Callable[..., RoutefoldClient]]:
    """`connect(timeout_s=...)`: a client of `api`, not yet entered."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", api.handle)
    server = TestServer(application, host="127.0.0.1")
    await server.start_server()
    yield lambda **options: RoutefoldClient(str(server.make_url("/")), **options)
    await server.close()


@pytest.fixture
async def client(connect: Callable[..., RoutefoldClient]) -> AsyncIterator[RoutefoldClient]:
    async with connect() as client:
        yield client


async def test_a_pick_sends_what_is_known_and_reads_the_answer(
    api: Api, client: RoutefoldClient
) -> None:
    api.answers = [(200, PICKED)]
    messages = [{"role": "user", "content": "hello"}]
    pick = await client.pick("chat", session_id="s", messages=messages, min_quality_tier=2)
    assert api.requests == [
        (
            "POST",
            "/v1/routers/chat/picks",
            {"session_id": "s", "messages": messages, "min_quality_tier": 2},
        )
    ]
    assert pick.turn_id == UUID(str(PICKED["turn_id"]))
    assert (pick.arm, pick.fallbacks, pick.turn_token) == ("small", ("large",), "token")
    assert (pick.probability, pick.snapshot_version, pick.snapshot_age_ms) == (0.25, "12.-", None)


async def test_a_router_name_stays_one_segment_of_the_path(
    api: Api, client: RoutefoldClient
) -> None:
    api.answers = [(200, {})]
    await client.state("../a b?")
    assert api.requests[0][1] == "/v1/routers/..%2Fa%20b%3F/state"


@pytest.mark.parametrize("failure", [BUSY, None])
async def test_a_pick_is_never_sent_twice(
    api: Api, client: RoutefoldClient, failure: tuple[int, Any] | None
) -> None:
    api.answers = [failure, (200, PICKED)]
    with pytest.raises((ApiError, ApiUnreachable)):
        await client.pick("chat")
    assert len(api.requests) == 1


@pytest.mark.parametrize("failure", [BUSY, (502, "<html>bad gateway</html>"), None])
async def test_outcomes_are_sent_again_with_the_same_ids(
    api: Api, client: RoutefoldClient, failure: tuple[int, Any] | None
) -> None:
    given = str(PICKED["turn_id"])
    reports = [{"turn_token": "a"}, {"turn_token": "b", "outcome_id": given}]
    api.answers = [failure, (202, {"accepted": 2, "outcome_ids": ["x", "y"]})]
    assert await client.outcomes(reports) == ["x", "y"]
    (_, _, first), (_, _, second) = api.requests
    assert first == second
    assert UUID(first[0]["outcome_id"]).version == 7
    assert first[1]["outcome_id"] == given
    assert "outcome_id" not in reports[0]


async def test_no_outcomes_are_no_request(api: Api, client: RoutefoldClient) -> None:
    assert await client.outcomes([]) == []
    assert api.requests == []


async def test_attempts_are_bounded_and_the_last_answer_is_the_error(
    api: Api, client: RoutefoldClient
) -> None:
    api.answers = [BUSY]
    with pytest.raises(ApiError, match="503 Not ready: catching up") as caught:
        await client.routers()
    assert caught.value.status == 503
    assert len(api.requests) == MAX_ATTEMPTS


async def test_a_long_retry_after_is_left_to_the_caller(api: Api, client: RoutefoldClient) -> None:
    api.answers, api.headers = [BUSY], {"Retry-After": "3600"}
    with pytest.raises(ApiError):
        await client.routers()
    assert len(api.requests) == 1


async def test_a_problem_document_becomes_an_error_that_names_the_fields(
    api: Api, client: RoutefoldClient
) -> None:
    fault = {"field": "outcomes.3.scores.quality", "message": "must be at most 1"}
    body = {"title": "Invalid", "status": 422, "detail": "1 fault", "errors": [fault]}
    api.answers = [(422, body)]
    with pytest.raises(
        ApiError, match=r"outcomes\.3\.scores\.quality: must be at most 1"
    ) as caught:
        await client.outcomes([{"turn_token": "a"}])
    error = caught.value
    assert (error.status, error.title, error.detail) == (422, "Invalid", "1 fault")
    assert error.errors == (fault,)
    assert isinstance(error, ProducerError)
    assert len(api.requests) == 1


@pytest.mark.parametrize(
    "answer", [(500, "<html>oops</html>"), (404, {"errors": "none"}), (307, ""), (400, [1, 2])]
)
async def test_errors_without_a_problem_document_keep_their_status(
    api: Api, client: RoutefoldClient, answer: tuple[int, Any]
) -> None:
    api.answers = [answer]
    with pytest.raises(ApiError) as caught:
        await client.state("chat")
    assert caught.value.status == answer[0]


@pytest.mark.parametrize(
    "body", ["hello", {"arm": "a"}, {**PICKED, "turn_id": 7}, {**PICKED, "snapshot": None}]
)
async def test_an_answer_of_something_else_is_an_error_that_shows_no_values(
    api: Api, client: RoutefoldClient, body: Any
) -> None:
    api.answers = [(200, body)]
    with pytest.raises(ApiError, match="is the address right") as caught:
        await client.pick("chat")
    assert "token," not in str(caught.value).replace("turn_token", "")


async def test_put_router_addresses_the_router_that_the_configuration_names(
    api: Api, client: RoutefoldClient
) -> None:
    api.answers = [None, (200, {"router": "chat", "version": 1, "changed": True})]
    config = {"router": "chat", "arms": [{"name": "a"}]}
    assert (await client.put_router(config))["version"] == 1
    assert api.requests[-1] == ("PUT", "/v1/routers/chat", config)
    with pytest.raises(ValueError, match="router"):
        await client.put_router({"arms": []})


async def test_ready_is_a_question_and_never_an_error(api: Api, client: RoutefoldClient) -> None:
    api.answers = [None, None, BUSY, (200, {})]  # aiohttp itself replaces a broken connection once
    assert [await client.ready() for _ in range(3)] == [False, False, True]
    async with RoutefoldClient(f"http://127.0.0.1:{unused_port()}") as nowhere:
        assert not await nowhere.ready()


async def test_an_api_that_is_not_there_or_too_slow_is_unreachable(
    api: Api, connect: Callable[..., RoutefoldClient]
) -> None:
    address = f"http://127.0.0.1:{unused_port()}"
    async with RoutefoldClient(address) as nowhere:
        with pytest.raises(ApiUnreachable, match=address):
            await nowhere.routers()
    api.answers, api.delay_s = [(200, PICKED)], 30.0
    async with connect(timeout_s=0.05) as impatient:
        with pytest.raises(ApiUnreachable, match=r"in 0\.05 s"):
            await impatient.pick("chat")


async def test_calls_share_a_connection_and_carry_the_headers(
    api: Api, connect: Callable[..., RoutefoldClient]
) -> None:
    api.answers = [(200, {})]
    async with connect(headers={"Authorization": "Bearer secret"}) as client:
        for _ in range(5):
            await client.routers()
    assert len(api.connections) == 1
    assert {seen["Authorization"] for seen in api.seen_headers} == {"Bearer secret"}


async def test_not_a_number_is_refused_before_it_is_sent(api: Api, client: RoutefoldClient) -> None:
    with pytest.raises(ValueError, match="JSON"):
        await client.outcomes([{"turn_token": "a", "scores": {"quality": float("nan")}}])
    assert api.requests == []


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "ftp://host", "http://", "/v1"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        RoutefoldClient(address)


async def test_a_client_outside_its_context_says_how_to_use_it() -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await RoutefoldClient("http://127.0.0.1:1").routers()
