"""`routefold serve`: the HTTP API."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import typer

from routefold.commands.options import HostOption, PortOption

if TYPE_CHECKING:
    from routefold.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("serve")(serve)


def serve(host: HostOption = None, port: PortOption = None) -> None:
    """Serve picks and take outcomes over HTTP, until SIGTERM or Ctrl-C.

    Start as many as you like: they share no state but Kafka's. They need the same token keys.

    [bold]Example:[/bold]

        export ROUTEFOLD_BOOTSTRAP_SERVERS=kafka:9092 ROUTEFOLD_TOKEN_KEYS_FILE=token.keys
        routefold serve --port 8080
    """
    import uvloop

    from routefold import logs
    from routefold.settings import load_settings

    settings = load_settings(host=host, port=port)
    logs.configure(settings.log_level, settings.log_format)
    settings.need_bootstrap_servers()
    settings.need_token_keys()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    import structlog

    from routefold import collector
    from routefold.exposure import exposure_warning
    from routefold.signals import stop_event
    from routefold.topics_admin import check_topics
    from router_api.serve import serve as serve_http
    from router_api.service import RoutingService
    from router_api.tokens import TurnTokens

    log = structlog.get_logger("routefold.serve")
    if warning := exposure_warning(settings.host):
        log.warning(warning)

    def listening(port: int) -> None:
        collector.tame()
        log.info("listening", host=settings.host, port=port)

    bootstrap_servers = settings.need_bootstrap_servers()
    with stop_event() as stop:
        await check_topics(bootstrap_servers, settings.topics)
        service = RoutingService(
            bootstrap_servers=bootstrap_servers,
            topics=settings.topics,
            tokens=TurnTokens(settings.need_token_keys()),
            source=f"api@{socket.gethostname()}",
            spool_path=settings.spool_path,
        )
        await serve_http(
            service,
            host=settings.host,
            port=settings.port,
            stop=stop,
            on_listening=listening,
        )
