"""What goes over the wire, and which error each answer becomes: the real client, a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from producer.client import RoutefoldClient
from routefold.play.errors import GatewayError, Unavailable, UnknownRouter
from routefold.play.gateway import Picked, PlayedOutcome
from routefold.play.http_gateway import HttpGateway
from schemas.router_config import RouterConfig


class Api:
    """Remembers each request and answers with what the test has laid ready for its method."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, Any]] = []
        self.answers: dict[str, tuple[int, Any]] = {}

    async def handle(self, request: web.Request) -> web.Response:
        text = await request.text()
        self.seen.append((request.method, request.path, json.loads(text) if text else None))
        status, body = self.answers[request.method]
        return web.json_response(body, status=status)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def gateway(api: Api) -> AsyncIterator[HttpGateway]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    (host, port) = runner.addresses[0][:2]
    try:
        async with RoutefoldClient(f"http://{host}:{port}") as client:
            yield HttpGateway(client)
    finally:
        await runner.cleanup()


def outcome(**fields: Any) -> PlayedOutcome:
    base: dict[str, Any] = {
        "turn_token": "t1",
        "outcome_id": uuid4(),
        "quality": 0.5,
        "failed": False,
        "latency_ms": None,
        "tokens_in": None,
        "tokens_out": None,
        "cost_usd": 0.25,
    }
    return PlayedOutcome(**{**base, **fields})


PICK = {
    "turn_id": str(uuid4()),
    "turn_token": "t1",
    "arm": "a",
    "request_type": "sql",
    "probability": 1.0,
    "fallbacks": [],
    "snapshot": {"version": "-", "age_ms": None},
}


async def test_a_pick_sends_the_type_or_the_prompt(api: Api, gateway: HttpGateway) -> None:
    api.answers["POST"] = (200, PICK)
    picked = await gateway.pick("r", session_id="s", request_type="sql", prompt=None)
    await gateway.pick("r", session_id="s", request_type=None, prompt="hello")
    assert picked == Picked("t1", "a", "sql")
    assert api.seen == [
        ("POST", "/v1/routers/r/picks", {"session_id": "s", "request_type": "sql"}),
        (
            "POST",
            "/v1/routers/r/picks",
            {"session_id": "s", "messages": [{"role": "user", "content": "hello"}]},
        ),
    ]


async def test_outcomes_say_what_is_recorded_and_nothing_else(
    api: Api, gateway: HttpGateway
) -> None:
    api.answers["POST"] = (202, {"accepted": 2, "outcome_ids": ["x", "y"]})
    full = outcome(failed=True, latency_ms=1500.0, tokens_in=3, tokens_out=4)
    bare = outcome(cost_usd=0.0)
    assert await gateway.outcomes([full, bare]) == 2
    (_, path, body) = api.seen[0]
    assert path == "/v1/outcomes"
    assert [UUID(each.pop("outcome_id")) for each in body] == [full.outcome_id, bare.outcome_id]
    assert body == [
        {
            "turn_token": "t1",
            "completion": {
                "status": "error",
                "latency_ms": 1500.0,
                "tokens_in": 3,
                "tokens_out": 4,
                "cost_usd": 0.25,
            },
            "scores": {"quality": 0.5},
        },
        {
            "turn_token": "t1",
            "completion": {"status": "ok", "cost_usd": 0.0},
            "scores": {"quality": 0.5},
        },
    ]


async def test_a_configuration_arrives_as_it_was_given(api: Api, gateway: HttpGateway) -> None:
    api.answers["PUT"] = (200, {"router": "r", "version": 3, "changed": True})
    config = RouterConfig.model_validate({"router": "r", "arms": [{"name": "a", "tier": 3}]})
    assert await gateway.put_router(config) == 3
    assert RouterConfig.model_validate(api.seen[0][2]) == config


async def test_the_state_is_handed_on(api: Api, gateway: HttpGateway) -> None:
    api.answers["GET"] = (200, {"version": 1})
    assert await gateway.state("r") == {"version": 1}
    assert api.seen == [("GET", "/v1/routers/r/state", None)]


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, UnknownRouter), (503, Unavailable), (502, Unavailable), (422, GatewayError)],
)
async def test_each_refusal_becomes_its_error(
    api: Api, gateway: HttpGateway, status: int, expected: type[GatewayError]
) -> None:
    api.answers["POST"] = (status, {"title": "Refused", "detail": "because of the weather"})
    with pytest.raises(GatewayError, match="because of the weather") as error:
        await gateway.pick("r", session_id="s", request_type="sql", prompt=None)
    assert type(error.value) is expected


async def test_no_answer_may_be_asked_for_again() -> None:
    # A port that was free a moment ago: nobody listens there.
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with RoutefoldClient(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Unavailable, match="can't be reached"):
            await HttpGateway(client).pick("r", session_id="s", request_type="sql", prompt=None)
