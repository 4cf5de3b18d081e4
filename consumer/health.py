"""`/metrics` and `/healthz` of the consumer, for Prometheus and for health checks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from consumer.errors import ConsumerError

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def serve_metrics(
    registry: CollectorRegistry, host: str, port: int | None
) -> AsyncIterator[int | None]:
    """Serve while the block runs; yields the port. With None nothing is served.

    Raises ConsumerError when the port is taken.
    """
    if port is None:
        yield None
        return
    app = web.Application()

    async def metrics(_: web.Request) -> web.Response:
        body = await asyncio.to_thread(generate_latest, registry)
        return web.Response(body=body, headers={"content-type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise ConsumerError(
                f"the metrics port {host}:{port} is taken: choose another with --metrics-port"
            ) from error
        bound: int = runner.addresses[0][1]
        log.info("metrics served", url=f"http://{host}:{bound}/metrics")
        yield bound
    finally:
        await runner.cleanup()
