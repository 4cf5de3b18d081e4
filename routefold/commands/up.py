"""`routefold up`: everything on this machine, in the foreground."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from routefold.commands.options import HostOption, JsonFlag, PortOption, StateDirOption

if TYPE_CHECKING:
    from routefold.endpoints import Endpoints
    from routefold.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("up")(up)


def up(
    state_dir: StateDirOption = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the state directory first: all is forgotten.")
    ] = False,
    host: HostOption = None,
    port: PortOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Start Kafka, Postgres, the consumer and the API, and run them until Ctrl-C.

    The first start on a machine downloads Kafka. Servers given in ROUTEFOLD_BOOTSTRAP_SERVERS or
    ROUTEFOLD_POSTGRES_DSN are used instead of started ones. Nothing is left running at the end;
    what was learned stays in the state directory for the next start.

    [bold]Example:[/bold]

        routefold up --port 0
    """
    from routefold import logs, signals
    from routefold.leaving import leave
    from routefold.settings import load_settings

    settings = load_settings(state_dir=state_dir, host=host, port=port)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    try:
        signals.run(_up(settings, fresh, as_json))
    except signals.Interrupted:
        typer.echo("stopped", err=True)
        leave(0)


async def _up(settings: Settings, fresh: bool, as_json: bool) -> None:
    from routefold.commands.output import console, print_json, say
    from routefold.exposure import exposure_warning
    from routefold.installation import installation

    if warning := exposure_warning(settings.host):
        say(f"warning: {warning}")
    out = console(stderr=True)
    async with installation(settings, fresh=fresh, console=out, say=say) as running:
        if as_json:
            print_json(running.endpoints.as_dict())
        else:
            typer.echo(_overview(running.endpoints, settings))
        await running.supervisor.watch()


def _overview(found: Endpoints, settings: Settings) -> str:
    rows = {
        "API": found.api_url,
        "docs": found.docs_url,
        "metrics": f"{found.metrics_url}  (consumer: {found.consumer_metrics_url})",
        "Kafka": found.bootstrap_servers,
        "Postgres": found.postgres,
        "password": found.password_file,
        "state": str(settings.state_dir.absolute()),
    }
    lines = [f"  {name:<9} {value}" for name, value in rows.items() if value]
    return "\n".join(["Routefold is up. Ctrl-C stops it.", *lines])
