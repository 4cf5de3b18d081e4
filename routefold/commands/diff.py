"""`routefold diff`: what two states would do differently."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from routefold.commands.options import JsonFile, StateDirOption


def register(app: typer.Typer) -> None:
    app.command("diff")(diff)


def diff(
    left: Annotated[str, typer.Argument(metavar="A", help="A rebuild, or live.")],
    right: Annotated[str, typer.Argument(metavar="B", help="A rebuild, or live.")],
    turns: Annotated[
        int,
        typer.Option("--turns", min=0, help="Pick the latest so many logged turns again."),
    ] = 100_000,
    json_file: JsonFile = None,
    state_dir: StateDirOption = None,
) -> None:
    """Compare two rebuilds, or one with the live state: evidence, probabilities, and picks.

    A cell is an arm for a request type. Probabilities are those with every arm eligible, from each
    side's own configuration. A logged turn flips when B, asked with the turn's own hash and
    eligible arms, picks another arm than A.

    [bold]Example:[/bold]

        routefold diff live slower --turns 10000
    """
    from routefold import logs, signals
    from routefold.commands.output import console, write_json
    from routefold.compare import render
    from routefold.compare.diff import diff as compare
    from routefold.rebuilds.servers import find_servers
    from routefold.settings import load_settings

    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    with console(stderr=True).status("reading") as status:
        found = signals.run(
            compare(
                find_servers(settings),
                left,
                right,
                turns,
                lambda read: status.update(f"reading turns: {read:,} records"),
            )
        )
    if json_file != Path("-"):
        out = console()
        out.print(render.summary(found))
        table = render.cells_table(found)
        if table is not None:
            out.print()
            out.print(table)
    if json_file is not None:
        write_json(json_file, render.to_json(found))
