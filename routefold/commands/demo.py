"""`routefold demo`: see a router learn, with one command, from nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from routefold.commands.options import JsonFlag, StateDirOption


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(
    turns: Annotated[
        int, typer.Option("--turns", min=1, max=1_000_000, help="Simulated requests.")
    ] = 12_000,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="The same seed gives the same requests.")
    ] = 1,
    state_dir: StateDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Watch a router learn: simulated traffic to eight models, on an installation of its own.

    Starts Kafka, Postgres, the consumer and the API in STATE_DIR/demo, plays requests whose success
    rates, prices and latencies are published figures (no model is called), shows what is being
    learned, reports, and stops everything. The first run on a machine downloads Kafka.

    [bold]Example:[/bold]

        routefold demo --turns 5000
    """
    from routefold import logs, signals
    from routefold.commands.output import console, print_json, say
    from routefold.commands.verdict import exit_code
    from routefold.demo.run import DemoOptions, run_demo
    from routefold.play.render import render
    from routefold.settings import load_settings
    from routefold.state_dirs import nested

    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    if state_dir is None:
        settings = settings.model_copy(update={"state_dir": nested(settings.state_dir, "demo")})
    view = console(stderr=as_json)
    report = signals.run(run_demo(settings, DemoOptions(turns, seed), view, say))
    if as_json:
        print_json(report.to_json())
    else:
        view.print(render(report))
    raise typer.Exit(exit_code(report))
