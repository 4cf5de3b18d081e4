"""The API over a real service on a log in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from router_api.http.app import create_app
from router_api.service import RoutingService
from tests.unit.http.asgi import Caller
from tests.unit.http.loopback import CONFIG, Log, Picking, loopback_service


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch, log: Log) -> AsyncIterator[RoutingService]:
    """A started service, with the router "main"."""
    service = loopback_service(monkeypatch, log)
    await service.start()
    yield service
    await service.stop()


@pytest.fixture
async def api(service: RoutingService) -> Caller:
    """A client of the API, which knows the router "main" with the arms cheap, good and best."""
    caller = Caller(create_app(service))
    answer = await caller.put("/v1/routers/main", CONFIG)
    assert answer.status == 200, answer.body
    return caller


@pytest.fixture
def pick(api: Caller) -> Picking:
    """Picks from "main"; returns the answer."""

    async def picking(**body: Any) -> dict[str, Any]:
        answer = await api.post("/v1/routers/main/picks", body)
        assert answer.status == 200, answer.body
        picked: dict[str, Any] = answer.json
        return picked

    return picking
