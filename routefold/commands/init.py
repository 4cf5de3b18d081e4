"""`routefold init`: create the topics, migrate the database."""

from __future__ import annotations

import typer

from routefold.commands.options import JsonFlag


def register(app: typer.Typer) -> None:
    app.command("init")(init)


def init(as_json: JsonFlag = False) -> None:
    """Create the topics and the tables. Safe to repeat; existing topics are checked.

    [bold]Example:[/bold]

        export ROUTEFOLD_BOOTSTRAP_SERVERS=kafka:9092 ROUTEFOLD_POSTGRES_DSN=postgresql://...
        routefold init
    """
    from routefold import logs, signals
    from routefold.commands.output import print_json
    from routefold.preparation import prepare
    from routefold.settings import load_settings

    settings = load_settings()
    logs.configure(settings.log_level, settings.log_format)
    bootstrap_servers, dsn = settings.need_bootstrap_servers(), settings.need_postgres_dsn()
    created = signals.run(prepare(bootstrap_servers, dsn, settings.topics))
    if as_json:
        names = [topic.name for topic in settings.topics.all]
        print_json({"topics": names, "created": created, "migrated": True})
        return
    for topic in settings.topics.all:
        done = "created" if topic.name in created else "checked"
        typer.echo(f"{topic.name}: {done}, {topic.partitions} partitions")
    typer.echo("database: migrated")
