"""/v1/routers: which routers there are, what they believe, and their configuration."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from router_api.http import failures
from router_api.http.answers import ConfigAnswer, RouterList, RouterState
from router_api.http.bodies import CONFIG
from router_api.http.body import invalid, json_body, validated
from router_api.http.problems import (
    BODY_TOO_LARGE,
    INVALID_REQUEST,
    MALFORMED_JSON,
    NOT_JSON,
    Fault,
)
from router_api.http.routes import (
    CONFIG_BODY,
    ROUTER_PARAMETER,
    documented,
    json_answer,
    raw_route,
    ref,
)
from router_api.service import RoutingService


def add_routers(app: FastAPI, service: RoutingService) -> None:
    """Add the routes, answered by `service`."""

    @raw_route(
        app,
        "GET",
        "/v1/routers",
        tag="routers",
        **documented(
            RouterList,
            description="The routers that this replica knows",
            problems=[failures.NOT_READY],
        ),
    )
    async def list_routers(_: Request) -> Response:
        """List the routers."""
        summaries = [
            {
                "name": summary.name,
                "version": summary.version,
                "arms": summary.arms,
                "request_types": summary.request_types,
            }
            for summary in service.routers()
        ]
        return json_answer({"routers": summaries})

    @raw_route(
        app,
        "GET",
        "/v1/routers/{router}/state",
        tag="routers",
        **documented(
            RouterState,
            description="Configuration, evidence and beliefs",
            parameters=[ROUTER_PARAMETER],
            problems=[failures.UNKNOWN_ROUTER, failures.NOT_READY],
        ),
    )
    async def router_state(request: Request) -> Response:
        """Show what a router has learned, as this replica has it."""
        return json_answer(service.state(request.path_params["router"]))

    @raw_route(
        app,
        "PUT",
        "/v1/routers/{router}",
        tag="routers",
        **documented(
            ConfigAnswer,
            description="The configuration is in the log; every replica follows",
            body=ref(CONFIG_BODY),
            parameters=[ROUTER_PARAMETER],
            problems=[
                MALFORMED_JSON,
                BODY_TOO_LARGE,
                NOT_JSON,
                INVALID_REQUEST,
                failures.NOT_READY,
                failures.UNAVAILABLE,
            ],
        ),
    )
    async def configure_router(request: Request) -> Response:
        """Create a router, or replace its configuration. What it has learned stays."""
        name = request.path_params["router"]
        config = validated(CONFIG, _named(await json_body(request), name))
        version, changed = await service.put_router(config)
        return json_answer({"router": name, "version": version, "changed": changed})


def _named(body: object, name: str) -> object:
    """The configuration in `body` with the router's name, which may be left out of it."""
    if not isinstance(body, dict):
        return body
    if body.get("router", name) != name:
        raise invalid([Fault("router", "It differs from the name in the address; leave it out.")])
    return {**body, "router": name}
