"""/healthz, /readyz and /metrics."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.http.asgi import Answer, Caller
from tests.unit.http.loopback import Log


def samples(answer: Answer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def requests(answer: Answer, route: str, status: int) -> float:
    labels = frozenset({"route": route, "status": str(status)}.items())
    return samples(answer).get(("routefold_http_requests_total", labels), 0)


async def test_alive_but_not_ready_until_the_state_is_read(api: Caller, log: Log) -> None:
    log.is_read = False
    assert (await api.get("/healthz")).json == {"status": "alive"}
    answer = await api.get("/readyz")
    assert (answer.status, answer.kind) == (503, "not-ready")
    assert int(answer.headers["retry-after"]) >= 1
    log.is_read = True
    assert (await api.get("/readyz")).json == {"status": "ready"}


async def test_requests_are_counted_and_timed_by_route_and_status(api: Caller) -> None:
    for router in ("main", "main", "a", "b"):
        await api.post(f"/v1/routers/{router}/picks", {})
    metrics = await api.get("/metrics")
    route = "/v1/routers/{router}/picks"
    assert requests(metrics, route, 200) == 2
    assert requests(metrics, route, 404) == 2
    timed = ("routefold_http_request_seconds_count", frozenset({("route", route)}))
    assert samples(metrics)[timed] == 4


@pytest.mark.parametrize("path", ["/nowhere", "/v1/routers/x/y/z"])
async def test_addresses_that_do_not_exist_share_one_series(api: Caller, path: str) -> None:
    await api.get(path)
    await api.get(path + "-again")
    assert requests(await api.get("/metrics"), "other", 404) == 2


async def test_the_services_own_metrics_are_there(api: Caller) -> None:
    await api.post("/v1/routers/main/picks", {})
    names = {name for name, _ in samples(await api.get("/metrics"))}
    assert {"routefold_picks_total", "routefold_events_published_total"} <= names


async def test_metrics_speak_the_format_that_is_asked_for(api: Caller) -> None:
    plain = await api.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    wanted = {"accept": "application/openmetrics-text; version=1.0.0"}
    openmetrics = await api.get("/metrics", wanted)
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")


async def test_the_documentation_is_served(api: Caller) -> None:
    docs = await api.get("/docs")
    assert docs.status == 200
    assert b"/openapi.json" in docs.body
    assert (await api.get("/openapi.json")).json["info"]["title"] == "Routefold"
