"""The HTTP face of the router, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from router_api.http import failures
from router_api.http.health import add_health
from router_api.http.limits import BodyLimit
from router_api.http.observe import HttpMetrics, Observed
from router_api.http.outcomes import add_outcomes
from router_api.http.picks import add_picks
from router_api.http.routers import add_routers
from router_api.http.routes import openapi_document
from router_api.service import RoutingService


def create_app(
    service: RoutingService,
    *,
    registry: CollectorRegistry | None = None,
    manage_service: bool = False,
) -> FastAPI:
    """The API over `service`. Its metrics are added to `registry`, the service's own if left out;
    a registry can't hold those of two applications.

    `manage_service`: start the service with the application and stop it after the last request.
    Without it that is the caller's business; before the start, requests are answered "not ready".
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if manage_service:
            await service.start()
        try:
            yield
        finally:
            if manage_service:
                await service.stop()

    app = FastAPI(
        title="Routefold",
        version=version("routefold"),
        description="Learns which model should answer which LLM request.",
        lifespan=lifespan,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
    )
    registry = registry or service.metrics.registry
    failures.install(app)
    # The last one added is the outermost: a body above the limit is counted as a request, too.
    app.add_middleware(BodyLimit)
    app.add_middleware(Observed, metrics=HttpMetrics(registry))
    add_picks(app, service)
    add_outcomes(app, service)
    add_routers(app, service)
    add_health(app, service, registry)

    @cache
    def openapi() -> dict[str, Any]:
        return openapi_document(app)

    # FastAPI's documented way to extend the document.
    app.openapi = openapi  # type: ignore[method-assign]
    return app
