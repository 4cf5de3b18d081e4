"""`routefold audit`: every logged pick, made again from the log alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from routefold.commands.options import JsonFile, StateDirOption

if TYPE_CHECKING:
    from routefold.audit.audit import Report
    from routefold.audit.collect import Selection
    from routefold.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("audit")(audit)


def audit(
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="The latest so many picks; else all.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Those from 2026-01-03T12:00:00Z, or a date."),
    ] = None,
    router: Annotated[str | None, typer.Option("--router", help="Of this router only.")] = None,
    state_dir: StateDirOption = None,
    json_file: JsonFile = None,
) -> None:
    """Make logged picks again, from the log alone, and say for each difference why.

    The evidence is folded from the events as far as each pick's snapshot says, its configuration is
    taken from the log, and the pick is made again: arm and probability must be the same to the last
    bit, whichever replica it was. Exit codes: 0 all the same, 1 a difference or a failure, 2 an
    option is wrong.

    [bold]Example:[/bold]

        routefold audit --last 10000
    """
    from routefold import logs, signals
    from routefold.audit.audit import exit_code
    from routefold.audit.collect import Selection
    from routefold.audit.render import render, to_json
    from routefold.commands.output import answer
    from routefold.errors import Misuse
    from routefold.history import Position
    from routefold.settings import load_settings

    if last is not None and since is not None:
        raise Misuse("--last and --since contradict each other: give one of them")
    position = Position.parse(since) if since is not None else None
    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    selection = Selection(last=last, since=position, router=router)
    report = signals.run(_audit(settings, selection))
    answer(render(report), to_json(report), json_file)
    raise typer.Exit(exit_code(report))


async def _audit(settings: Settings, selection: Selection) -> Report:
    from routefold.audit.audit import audit as audit_log
    from routefold.commands.steps import steps
    from routefold.endpoints import find_bootstrap_servers

    with steps() as told:
        return await audit_log(find_bootstrap_servers(settings), settings.topics, selection, told)
