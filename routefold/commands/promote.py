"""`routefold promote`, `rollback` and `generations`: which fold of the log is live."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any

import typer

from routefold.commands.options import JsonFile, StateDirOption

if TYPE_CHECKING:
    from pathlib import Path

    from consumer.rebuild.promote import OnStep, Promotion
    from consumer.rebuild.rebuild import Servers
    from routefold.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("promote")(promote)
    app.command("rollback")(rollback)
    app.command("generations")(generations)


def promote(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The rebuild to make live.")],
    state_dir: StateDirOption = None,
    json_file: JsonFile = None,
) -> None:
    """Make a rebuild live: every router changes over to it, and the consumers go on with it.

    It is first caught up with the live state, while that goes on. Consumers then fold what comes
    with the rebuild's settings. No pick fails and no event is lost or counted twice; what was live
    is kept until it is dropped. Exit codes: 0 it is live, 1 failed, 2 it can't be promoted; unless
    0, what was live is as it was.

    [bold]Example:[/bold]

        routefold rebuild --into clean --exclude-source batch-import
        routefold promote clean
    """
    from consumer.rebuild.promote import promote as make_live

    _switch(state_dir, json_file, lambda servers, on_step: make_live(servers, name, on_step))


def rollback(state_dir: StateDirOption = None, json_file: JsonFile = None) -> None:
    """Make live again what was live before, with all that has come since; again: the one before.

    Exit codes: 0 it is live, 1 failed, 2 there is nothing to go back to; unless 0, what was live is
    as it was.

    [bold]Example:[/bold]

        routefold rollback
    """
    from consumer.rebuild.promote import rollback as make_live

    _switch(state_dir, json_file, make_live)


def generations(state_dir: StateDirOption = None, json_file: JsonFile = None) -> None:
    """Show what was and is live, the latest last.

    [bold]Example:[/bold]

        routefold generations
    """
    from consumer.generations import generations as read_all
    from routefold.commands.output import answer
    from routefold.endpoints import find_postgres_dsn
    from routefold.rebuilds.generations import generations_json, generations_table

    settings = _settings(state_dir)
    found = read_all(find_postgres_dsn(settings).get_secret_value())
    answer(generations_table(found), {"generations": generations_json(found)}, json_file)


def _switch(
    state_dir: Path | None,
    json_file: Path | None,
    make_live: Callable[[Servers, OnStep], Coroutine[Any, Any, Promotion]],
) -> None:
    from consumer.rebuild.promote import taken_up
    from routefold import signals
    from routefold.commands.output import answer, say
    from routefold.rebuilds.generations import promotion_json, promotion_text
    from routefold.rebuilds.servers import find_servers

    servers = find_servers(_settings(state_dir))

    async def run() -> tuple[Promotion, bool]:
        promotion = await make_live(servers, lambda step: say(str(step)))
        return promotion, await taken_up(servers.postgres_dsn, promotion.generation.number)

    promotion, followed = signals.run(run())
    answer(promotion_text(promotion, followed), promotion_json(promotion, followed), json_file)


def _settings(state_dir: Path | None) -> Settings:
    from routefold import logs
    from routefold.settings import load_settings

    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    return settings
