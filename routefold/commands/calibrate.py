"""`routefold calibrate`: reward weights from labelled conversations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routefold.commands.options import JsonFlag, StateDirOption

if TYPE_CHECKING:
    from producer.calibration import Observed


def register(app: typer.Typer) -> None:
    app.command("calibrate")(calibrate)


def calibrate(
    file: Annotated[
        Path | None,
        typer.Argument(help="JSON Lines, gzip allowed; left out: the log.", show_default=False),
    ] = None,
    router: Annotated[
        str | None, typer.Option("--router", help="Of the log, the sessions of this router only.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            "--metric", help="Score of the log that says how a session went.  [default: quality]"
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option("--resamples", min=2, max=10_000, help="For the intervals.")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Same seed, same numbers.")] = 0,
    state_dir: StateDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Measure what each signal says about success, and fit the reward weights to it.

    FILE has one conversation a line: {"messages": [...], "success": 0 or 1}, with "src" (where it
    comes from) and "task" (what it was about) where they are known. Without FILE your own log is
    read: its sessions, each a success if the last score that it was given is at least 0.5.
    Conversations are compared within a source and after the same turn; those about one task are
    never on both sides of a test. Nothing leaves this machine, and no text is kept.

    [bold]Example:[/bold]

        routefold calibrate conversations.jsonl.gz
    """
    from producer.calibration import calibrate as fit
    from routefold.calibrate import render
    from routefold.commands.output import console, print_json, say
    from routefold.errors import Misuse

    if file is not None and (router is not None or metric is not None):
        raise Misuse("--router and --metric are for the log: give either them or a file")
    if file is not None:
        conversations = _from_file(file)
    else:
        conversations = _from_log(router, metric or "quality", state_dir)
    where = f"{file}" if file is not None else "the log"
    say(f"{len(conversations):,} conversations read; fitting, {resamples} resamples")
    try:
        found = fit(conversations, seed=seed, resamples=resamples)
    except ValueError as error:
        raise Misuse(f"{where}: {error}") from None
    if as_json:
        print_json(render.to_json(found))
        return
    out = console()
    out.print(render.table(found))
    out.print(f"\nArea under the ROC curve, cross-validated: {render.areas(found)}")
    out.print("\nFor the router's configuration (routefold apply):\n", style="bold")
    out.print(render.to_yaml(found))


def _from_file(file: Path) -> list[Observed]:
    from rich.progress import track

    from routefold.calibrate.conversations import read_conversations
    from routefold.commands.output import console

    return list(track(read_conversations(file), "reading", console=console(stderr=True)))


def _from_log(router: str | None, metric: str, state_dir: Path | None) -> list[Observed]:
    from routefold import logs, signals
    from routefold.calibrate.outcomes import observed_sessions
    from routefold.endpoints import find_bootstrap_servers
    from routefold.history import read_history
    from routefold.settings import load_settings

    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    servers = find_bootstrap_servers(settings)
    history = signals.run(read_history(servers, settings.topics, router=router))
    return observed_sessions(history, metric)
