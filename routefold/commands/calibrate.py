"""`routefold calibrate`: reward weights from labelled conversations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from routefold.commands.options import JsonFlag


def register(app: typer.Typer) -> None:
    app.command("calibrate")(calibrate)


def calibrate(
    file: Annotated[Path, typer.Argument(help="JSON Lines, gzip allowed.", show_default=False)],
    resamples: Annotated[
        int, typer.Option("--resamples", min=2, max=10_000, help="For the intervals.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same numbers.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Measure what each signal says about success, and fit the reward weights to it.

    FILE has one conversation a line: {"messages": [...], "success": 0 or 1}, with "src" (where it
    comes from) and "task" (what it was about) where they are known. Conversations are compared
    within a source and after the same turn; those about one task are never on both sides of a test.
    Nothing leaves this machine, and no text is kept.

    [bold]Example:[/bold]

        routefold calibrate conversations.jsonl.gz
    """
    from rich.progress import track

    from producer.calibration import calibrate as fit
    from routefold.calibrate import render
    from routefold.calibrate.conversations import read_conversations
    from routefold.commands.output import console, print_json, say
    from routefold.errors import Misuse

    reading = track(read_conversations(file), "reading", console=console(stderr=True))
    conversations = list(reading)
    say(f"{len(conversations):,} conversations read; fitting, {resamples} resamples")
    try:
        found = fit(conversations, seed=seed, resamples=resamples)
    except ValueError as error:
        raise Misuse(f"{file}: {error}") from None
    if as_json:
        print_json(render.to_json(found))
        return
    out = console()
    out.print(render.table(found))
    out.print(f"\nArea under the ROC curve, cross-validated: {render.areas(found)}")
    out.print("\nFor the router's configuration (routefold apply):\n", style="bold")
    out.print(render.to_yaml(found))
