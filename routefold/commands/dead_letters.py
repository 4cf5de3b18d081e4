"""`routefold dead-letters`: records that could not be folded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routefold.commands.options import StateDirOption

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from routefold.dead_letters.letters import Letter, LetterId
    from routefold.dead_letters.redrive import Redriven
    from routefold.dead_letters.store import LetterStore, ReasonCount
    from routefold.settings import Settings

JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write it as JSON; - prints it."),
]

commands = typer.Typer(
    name="dead-letters",
    help="Records that could not be folded: list them, look at one, publish them again.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def register(app: typer.Typer) -> None:
    app.add_typer(commands)


@commands.command("list")
def list_letters(
    reason: Annotated[
        str | None, typer.Option("--reason", help="Those of this reason; else all.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="The newest so many.")] = 20,
    state_dir: StateDirOption = None,
    json_file: JsonFile = None,
) -> None:
    """Count dead letters by reason, and list the newest.

    An ID is PARTITION:OFFSET of the record in the events topic. A letter whose record was published
    again says what became of it: folded, or dead again, with the reason and the new ID.

    [bold]Example:[/bold]

        routefold dead-letters list --reason unknown_router
    """
    from routefold import signals
    from routefold.commands.output import console, write_json
    from routefold.dead_letters import render

    counts, letters = signals.run(_list(_settings(state_dir), reason, limit))
    if json_file != Path("-"):
        out = console()
        if counts:
            out.print(render.counts_table(counts))
            out.print()
            out.print(render.letters_table(letters))
        else:
            out.print("no dead letters")
    if json_file is not None:
        listed = [render.letter_json(letter) for letter in letters]
        write_json(json_file, {"reasons": render.counts_json(counts), "letters": listed})


@commands.command("show")
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="PARTITION:OFFSET, from the list.")],
    state_dir: StateDirOption = None,
    json_file: JsonFile = None,
) -> None:
    """Show one dead letter: the reason, where and when it was appended, and its fields.

    [bold]Example:[/bold]

        routefold dead-letters show 2:345
    """
    from routefold import signals
    from routefold.commands.output import console, write_json
    from routefold.dead_letters import render
    from routefold.dead_letters.letters import LetterId

    wanted = LetterId.parse(letter)
    found = signals.run(_show(_settings(state_dir), wanted))
    if json_file != Path("-"):
        console().print(render.letter_table(found))
    if json_file is not None:
        write_json(json_file, render.letter_json(found))


@commands.command("redrive")
def redrive(
    letters: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="PARTITION:OFFSET, from the list.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="All of this reason.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All there are.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that were redriven before.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many it would be; publish nothing.")
    ] = False,
    state_dir: StateDirOption = None,
    json_file: JsonFile = None,
) -> None:
    """Publish dead letters to the events topic again, once their cause is gone.

    The bytes and the key are the original ones. A fact counts once, however often it is redriven. A
    letter whose cause still holds becomes a dead letter again; the list says so. One that comes
    after its turn's attribution window counts as late. Exit codes: 0 all published, 1 some were
    not, 2 an ID or a reason is wrong.

    [bold]Example:[/bold]

        routefold dead-letters redrive --reason unknown_router
    """
    from routefold import signals
    from routefold.commands.output import write_json
    from routefold.dead_letters import render
    from routefold.dead_letters.letters import LetterId
    from routefold.errors import Misuse

    named = [LetterId.parse(text) for text in letters or ()]
    if bool(named) + (reason is not None) + everything != 1:
        raise Misuse("name IDs, or a --reason, or --all: exactly one of the three")
    settings = _settings(state_dir)
    if dry_run:
        chosen = signals.run(_choose(settings, named, reason, again))
        typer.echo(f"would publish {len(chosen):,} dead letters")
        if json_file is not None:
            write_json(json_file, {"would_redrive": [str(letter) for letter in chosen]})
        return
    redriven = signals.run(_redrive(settings, named, reason, again))
    if json_file != Path("-"):
        for letter, why in redriven.refused.items():
            typer.echo(f"{letter}: not redriven: {why}", err=True)
        typer.echo(f"{len(redriven.published):,} dead letters published again")
    if json_file is not None:
        write_json(json_file, render.redriven_json(redriven))
    raise typer.Exit(1 if redriven.refused else 0)


def _settings(state_dir: Path | None) -> Settings:
    from routefold import logs
    from routefold.settings import load_settings

    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    return settings


async def _list(
    settings: Settings, reason: str | None, limit: int
) -> tuple[list[ReasonCount], list[Letter]]:
    async with _letters(settings) as store:
        return await store.counts(), await store.latest(reason, limit)


async def _show(settings: Settings, letter: LetterId) -> Letter:
    async with _letters(settings) as store:
        return await store.get(letter)


async def _choose(
    settings: Settings, named: list[LetterId], reason: str | None, again: bool
) -> list[LetterId]:
    async with _letters(settings) as store:
        if not named:
            return await store.choose(reason, again=again)
        await store.require(named)
        return named


async def _redrive(
    settings: Settings, named: list[LetterId], reason: str | None, again: bool
) -> Redriven:
    from routefold.dead_letters.redrive import redrive as publish_again
    from routefold.endpoints import find_bootstrap_servers

    bootstrap_servers = find_bootstrap_servers(settings)
    async with _letters(settings) as store:
        if named:
            await store.require(named)
        chosen = list(dict.fromkeys(named)) or await store.choose(reason, again=again)
        return await publish_again(bootstrap_servers, settings.topics, store, chosen, again=again)


def _letters(settings: Settings) -> AbstractAsyncContextManager[LetterStore]:
    from routefold.dead_letters.store import open_letters
    from routefold.endpoints import find_postgres_dsn

    return open_letters(find_postgres_dsn(settings))
