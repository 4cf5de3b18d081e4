"""`routefold consume`: fold events into evidence."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from routefold.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("consume")(consume)


def consume(
    metrics_port: Annotated[
        int | None,
        typer.Option(
            "--metrics-port",
            min=0,
            max=65535,
            help="Port for Prometheus; else ROUTEFOLD_METRICS_PORT, else none.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Fold events from Kafka into evidence in Postgres, until SIGTERM or Ctrl-C.

    Start as many as you like: Kafka shares the partitions among them, and Postgres lets only the
    owner of a partition write.

    [bold]Example:[/bold]

        export ROUTEFOLD_BOOTSTRAP_SERVERS=kafka:9092 ROUTEFOLD_POSTGRES_DSN=postgresql://...
        routefold consume --metrics-port 9100
    """
    import uvloop

    from routefold import logs
    from routefold.settings import load_settings

    settings = load_settings(metrics_port=metrics_port)
    logs.configure(settings.log_level, settings.log_format)
    settings.need_bootstrap_servers()
    settings.need_postgres_dsn()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_consume(settings))


async def _consume(settings: Settings) -> None:
    from consumer.app import run_consumer
    from routefold import collector
    from routefold.database import check_postgres
    from routefold.signals import stop_event
    from routefold.topics_admin import check_topics

    bootstrap_servers, dsn = settings.need_bootstrap_servers(), settings.need_postgres_dsn()
    with stop_event() as stop:
        await check_topics(bootstrap_servers, settings.topics)
        await check_postgres(dsn)
        collector.tame()
        await run_consumer(
            bootstrap_servers=bootstrap_servers,
            postgres_dsn=dsn.get_secret_value(),
            topics=settings.topics,
            group_id=settings.consumer_group,
            metrics_host=settings.metrics_host,
            metrics_port=settings.metrics_port,
            stop=stop,
        )
