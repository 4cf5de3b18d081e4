"""`routefold verify`: whether the live tables hold what the log says."""

from __future__ import annotations

from typing import Annotated

import typer

from routefold.commands.options import JsonFile, StateDirOption
from routefold.rebuilds.arguments import ArchiveOption, MaxLagOption, MaxRateOption, WorkersOption


def register(app: typer.Typer) -> None:
    app.command("verify")(verify)


def verify(
    name: Annotated[
        str | None,
        typer.Argument(help="Compare with this rebuild; else with one made in memory."),
    ] = None,
    archive: ArchiveOption = None,
    workers: WorkersOption = None,
    max_rate: MaxRateOption = 0.0,
    max_lag: MaxLagOption = 20_000,
    json_file: JsonFile = None,
    state_dir: StateDirOption = None,
) -> None:
    """Fold the log again, and compare evidence and event counts with the live tables, bit by bit.

    Both sides are taken at the same offsets: those of the live tables when the command begins. Of
    each evidence row that differs its cell, metric, half-life and era are named, and an offset. The
    live tables keep no past, so the offset is exact where their sums are those of the log up to it
    (what follows is missing); else it is the row's first event, before which nothing can differ. Of
    a row from which a retraction or a correction has taken something it may be off.
    Writes nothing but the report. Exit codes: 0 equal, 1 different, 2 nothing to compare.

    [bold]Example:[/bold]

        routefold verify --json report.json
        routefold verify --archive exported
    """
    from consumer.rebuild.rebuild import Pace
    from consumer.rebuild.verify import verify as compare
    from routefold import logs, signals
    from routefold.commands.output import answer, console
    from routefold.rebuilds import render
    from routefold.rebuilds.progress import shown
    from routefold.rebuilds.servers import find_servers
    from routefold.settings import load_settings

    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    pace = Pace(workers=workers, max_rate_per_s=max_rate, max_lag=max_lag)
    with shown(console(stderr=True), "folding") as show:
        verdict = signals.run(compare(find_servers(settings, archive), name, pace, show))
    answer(render.verdict_text(verdict), render.verdict_json(verdict, name), json_file)
    raise typer.Exit(0 if verdict.equal else 1)
