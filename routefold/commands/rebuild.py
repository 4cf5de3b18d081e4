"""`routefold rebuild`: what would have been learned, folded beside the live state."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routefold.commands.options import JsonFile, StateDirOption
from routefold.rebuilds.arguments import ArchiveOption, MaxLagOption, MaxRateOption, WorkersOption

if TYPE_CHECKING:
    from consumer.rebuild.bounds import Bound
    from consumer.rebuild.rebuild import Pace
    from consumer.rebuild.settings import RebuildSettings
    from routefold.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("rebuild")(rebuild)


def rebuild(
    into: Annotated[
        str | None,
        typer.Option("--into", metavar="NAME", help="The rebuild to make, or to go on with."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="BOUND",
            help="Where to begin: a time, an offset, or offsets by partition (0:500,1:480).",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="BOUND", help="Where to end; else where the log ends."),
    ] = None,
    half_life: Annotated[
        list[str] | None,
        typer.Option(
            "--half-life",
            metavar="NAME=DURATION",
            help="quality.slow, quality.fast, latency.slow or latency.fast, for every router.",
        ),
    ] = None,
    reward_weights: Annotated[
        Path | None,
        typer.Option(
            "--reward-weights",
            metavar="FILE",
            help="YAML or JSON: `metric: weight`, or `router: {metric: weight}`.",
        ),
    ] = None,
    exclude_source: Annotated[
        list[str] | None,
        typer.Option("--exclude-source", metavar="SOURCE", help="As if it had never published."),
    ] = None,
    exclude_arm: Annotated[
        list[str] | None,
        typer.Option("--exclude-arm", metavar="ARM", help="Leave its evidence out."),
    ] = None,
    archive: ArchiveOption = None,
    workers: WorkersOption = None,
    max_rate: MaxRateOption = 0.0,
    max_lag: MaxLagOption = 20_000,
    list_all: Annotated[bool, typer.Option("--list", help="Show the rebuilds, and end.")] = False,
    drop: Annotated[
        str | None, typer.Option("--drop", metavar="NAME", help="Remove a rebuild, and end.")
    ] = None,
    state_dir: StateDirOption = None,
    json_file: JsonFile = None,
) -> None:
    """Fold the log again into tables of its own, with these settings or with the live ones.

    The live tables stay as they are. Run the same command again after an interruption, or when the
    log has grown: it goes on where it was. A time is when the broker appended an event, UTC where
    it names no zone. Exit codes: 0 complete, 1 failed, 2 nothing was done because a name, a range
    or a setting is wrong.

    [bold]Example:[/bold]

        routefold rebuild --into check
        routefold rebuild --into slower --half-life quality.slow=14d --until 2026-03-01
        routefold rebuild --into clean --exclude-source batch-import
        routefold rebuild --into history --archive exported
    """
    from routefold import logs
    from routefold.errors import Misuse
    from routefold.settings import load_settings

    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    if sum((into is not None, list_all, drop is not None)) != 1:
        raise Misuse("give one of --into NAME, --list and --drop NAME")
    if list_all:
        _list(settings, json_file)
    elif drop is not None:
        _drop(settings, drop)
    elif into is not None:
        from consumer.rebuild.bounds import Bound
        from consumer.rebuild.rebuild import Pace
        from consumer.rebuild.settings import RebuildSettings
        from routefold.rebuilds.arguments import parse_half_lives, read_reward_weights

        wanted = RebuildSettings.make(
            half_lives_s=parse_half_lives(half_life or []),
            rewards=read_reward_weights(reward_weights),
            exclude_sources=tuple(exclude_source or ()),
            exclude_arms=tuple(exclude_arm or ()),
        )
        first, last = (Bound.parse(b) if b is not None else None for b in (start, until))
        pace = Pace(workers=workers, max_rate_per_s=max_rate, max_lag=max_lag)
        _rebuild(settings, into, wanted, first, last, pace, archive, json_file)


def _rebuild(
    settings: Settings,
    name: str,
    wanted: RebuildSettings,
    start: Bound | None,
    until: Bound | None,
    pace: Pace,
    archive: Path | None,
    json_file: Path | None,
) -> None:
    from consumer.rebuild.rebuild import rebuild as fold_again
    from routefold import signals
    from routefold.commands.output import answer, console, say
    from routefold.rebuilds import render
    from routefold.rebuilds.progress import shown
    from routefold.rebuilds.servers import find_servers

    begun, servers = time.monotonic(), find_servers(settings, archive)
    with shown(console(stderr=True), name) as show:
        try:
            outcome = signals.run(fold_again(servers, name, wanted, start, until, pace, show))
        except signals.Interrupted:
            say(f"{name}: interrupted; the same command goes on from its last checkpoint")
            raise
    seconds = time.monotonic() - begun
    document = render.outcome_json(outcome, seconds)
    answer(render.outcome_text(outcome, seconds), document, json_file)


def _list(settings: Settings, json_file: Path | None) -> None:
    from consumer.generations import live
    from consumer.rebuild.side import find_all
    from routefold.commands.output import answer
    from routefold.endpoints import find_postgres_dsn
    from routefold.rebuilds import render

    dsn = find_postgres_dsn(settings).get_secret_value()
    found, name = find_all(dsn), live(dsn).name
    documents = [render.rebuild_json(*each) for each in found]
    marked = [{**each, "live": each["name"] == name} for each in documents]
    answer(render.rebuilds_table(found, name), {"rebuilds": marked}, json_file)


def _drop(settings: Settings, name: str) -> None:
    from consumer.rebuild.side import drop
    from routefold.endpoints import find_postgres_dsn

    drop(find_postgres_dsn(settings).get_secret_value(), name)
    typer.echo(f"{name}: dropped")
