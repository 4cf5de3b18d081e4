"""The application as a whole: its lifespan, and what a body may cost."""

from __future__ import annotations

import pytest

from router_api.http.app import create_app
from router_api.service import RoutingService
from schemas.events import Turn
from tests.unit.http.asgi import Caller
from tests.unit.http.loopback import CONFIG, Log, loopback_service


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch, log: Log) -> RoutingService:
    """A service that nobody has started."""
    return loopback_service(monkeypatch, log)


async def test_the_lifespan_runs_the_service_if_asked(stopped: RoutingService, log: Log) -> None:
    app = create_app(stopped, manage_service=True)
    async with app.router.lifespan_context(app):
        assert stopped.ready
        assert (await Caller(app).put("/v1/routers/main", CONFIG)).status == 200
        assert not log.stopped_with
    assert log.stopped_with


async def test_the_lifespan_leaves_the_service_alone_otherwise(
    stopped: RoutingService, log: Log
) -> None:
    app = create_app(stopped)
    async with app.router.lifespan_context(app):
        assert not stopped.ready
        assert (await Caller(app).post("/v1/routers/main/picks", {})).kind == "not-ready"
    assert not log.stopped_with


async def test_of_many_bad_messages_the_first_is_named(api: Caller, log: Log) -> None:
    answer = await api.post("/v1/routers/main/picks", {"messages": [{}, 1, 2] + [3] * 100_000})
    assert (answer.status, answer.fields) == (422, ["messages.1"])
    assert not log.of(Turn)
