"""Is it alive, is it ready, and how is it doing: for orchestrators and Prometheus."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from router_api.errors import NotReady
from router_api.http import failures
from router_api.http.answers import Health
from router_api.http.routes import documented, json_answer, raw_route
from router_api.service import RoutingService


def add_health(app: FastAPI, service: RoutingService, registry: CollectorRegistry) -> None:
    """Add the routes, answered by `service`."""

    @raw_route(
        app,
        "GET",
        "/healthz",
        tag="health",
        **documented(Health, description="Alive"),
    )
    async def healthz(_: Request) -> Response:
        """Answers as long as the process does. It says nothing about Kafka."""
        return json_answer({"status": "alive"})

    @raw_route(
        app,
        "GET",
        "/readyz",
        tag="health",
        **documented(Health, description="Ready for picks", problems=[failures.NOT_READY]),
    )
    async def readyz(_: Request) -> Response:
        """Ready once the state in Kafka has been read to where it ended at the start.

        It stays ready when Kafka goes away: picks are answered from memory.
        """
        if not service.ready:
            raise NotReady("Routers and snapshots are still being read from Kafka.")
        return json_answer({"status": "ready"})

    @raw_route(
        app,
        "GET",
        "/metrics",
        tag="health",
        include_in_schema=False,
    )
    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})
