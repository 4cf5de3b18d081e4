"""The server: a real socket, started and stopped in order."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from producer.errors import BrokerUnreachable
from router_api.errors import Unavailable
from router_api.serve import CannotListen, run, serve
from router_api.service import RoutingService
from tests.unit.http.loopback import CONFIG, Log, loopback_service

NewService = Callable[[], RoutingService]


@pytest.fixture
def new_service(monkeypatch: pytest.MonkeyPatch, log: Log) -> NewService:
    """Makes services on the test's log; they are not started."""
    return lambda: loopback_service(monkeypatch, log)


@asynccontextmanager
async def serving(
    service: RoutingService, stop: asyncio.Event
) -> AsyncIterator[tuple[aiohttp.ClientSession, asyncio.Task[None]]]:
    """A client of a running server, and the server; stopped at the end if the test did not."""
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        serve(service, port=0, stop=stop, on_listening=listening.set_result, stop_timeout_s=1.5)
    )
    port = await listening
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
        try:
            yield client, task
        finally:
            stop.set()
            await asyncio.gather(task, return_exceptions=True)


async def ready(client: aiohttp.ClientSession) -> None:
    """Wait until the server is ready."""
    while True:
        async with client.get("/readyz") as answer:
            if answer.status == 200:
                return
        await asyncio.sleep(0.01)


async def test_it_serves_until_it_is_stopped(new_service: NewService, log: Log) -> None:
    stop = asyncio.Event()
    async with serving(new_service(), stop) as (client, server):
        await ready(client)
        async with client.put("/v1/routers/main", json=CONFIG) as answer:
            assert answer.status == 200
        async with client.post("/v1/routers/main/picks", json={}) as answer:
            assert (await answer.json())["arm"] in ("cheap", "good", "best")
            assert "server" not in answer.headers
        assert log.stopped_with == []
        stop.set()
        await server
        assert log.stopped_with == [1.5]
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get("/healthz")


async def test_it_answers_while_the_service_starts(new_service: NewService, log: Log) -> None:
    log.start_gate = asyncio.Event()
    log.is_read = False
    async with serving(new_service(), asyncio.Event()) as (client, _):
        async with client.get("/healthz") as answer:
            assert answer.status == 200
        async with client.post("/v1/routers/main/picks", json={}) as answer:
            assert answer.status == 503
            assert "Retry-After" in answer.headers
        log.is_read = True
        log.start_gate.set()
        await ready(client)


async def test_it_can_be_stopped_while_the_service_starts(
    new_service: NewService, log: Log
) -> None:
    log.start_gate = asyncio.Event()
    stop = asyncio.Event()
    async with serving(new_service(), stop) as (_, server):
        stop.set()
        await asyncio.wait_for(server, 10)


async def test_what_keeps_the_service_from_starting_is_raised(
    new_service: NewService, log: Log
) -> None:
    log.start_error = BrokerUnreachable("nobody answers at broker:9092")
    with pytest.raises(Unavailable, match="broker:9092"):
        await serve(new_service(), port=0)


async def test_a_request_under_way_is_answered_before_the_service_stops(
    new_service: NewService, log: Log
) -> None:
    stop = asyncio.Event()
    async with serving(new_service(), stop) as (client, server):
        await ready(client)
        await (await client.put("/v1/routers/main", json=CONFIG)).read()
        async with client.post("/v1/routers/main/picks", json={}) as answer:
            token = (await answer.json())["turn_token"]

        log.publish_gate = asyncio.Event()
        outcome = {"turn_token": token, "scores": {"quality": 1}}
        reporting = asyncio.create_task(client.post("/v1/outcomes", json=outcome))
        await asyncio.sleep(0.1)
        stop.set()
        await asyncio.sleep(0.2)
        assert not reporting.done()
        assert log.stopped_with == []
        log.publish_gate.set()
        assert (await reporting).status == 202
        await server
        assert log.stopped_with == [1.5]


async def test_an_upload_without_end_is_cut_off(new_service: NewService) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    async with serving(new_service(), asyncio.Event()) as (client, _):
        headers = {"content-type": "application/json"}
        async with client.post("/v1/outcomes", data=endless(), headers=headers) as answer:
            assert answer.status == 413


async def test_an_address_in_use_is_named(new_service: NewService) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port}: Address already in use"):
            await serve(new_service(), port=port)


async def test_a_port_that_does_not_exist_is_named(new_service: NewService) -> None:
    with pytest.raises(CannotListen, match="a port is 0 to 65535"):
        await serve(new_service(), port=70000)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_in_order(
    new_service: NewService, log: Log, number: signal.Signals
) -> None:
    def interrupt(_port: int) -> None:
        asyncio.get_running_loop().call_later(0.1, signal.raise_signal, number)

    run(new_service(), port=0, on_listening=interrupt)
    assert log.stopped_with == [5.0]
