"""`routefold play`: what would the router have learned from my traffic?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routefold.commands.options import StateDirOption, UrlOption

if TYPE_CHECKING:
    from rich.console import Console

    from routefold.play.options import PlayOptions
    from routefold.play.report import Report
    from routefold.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("play")(play)


def play(
    file: Annotated[Path, typer.Argument(help="JSON Lines, plain or gzip; see docs/play.md.")],
    turns: Annotated[
        int | None, typer.Option("--turns", help="How many; else one pass over the rows.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Fixes the order of the rows.")] = 0,
    sessions: Annotated[
        int, typer.Option("--sessions", help="Simulated users at the same time.")
    ] = 32,
    router: Annotated[
        str | None, typer.Option("--router", help="Play on this router, as it is.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Put the router of this YAML file, and play on it."),
    ] = None,
    url: UrlOption = None,
    in_process: Annotated[
        bool, typer.Option("--in-process", help="Route in this process, as a gateway would.")
    ] = False,
    state_dir: StateDirOption = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the report as JSON; - prints it."),
    ] = None,
) -> None:
    """Play a recorded log: every pick is answered from the log, and learned from.

    Plays on the API of --url, or of the running `routefold up`; where there is neither, an
    installation in STATE_DIR/play is started for the time of the play, and stopped.

    [bold]Example:[/bold]

        routefold play traffic.jsonl.gz --turns 5000
    """
    from routefold import logs, signals
    from routefold.commands.output import console, print_json, say
    from routefold.commands.verdict import exit_code
    from routefold.errors import Failure, Misuse
    from routefold.play.options import PlayOptions
    from routefold.play.render import render
    from routefold.router_files import load_routers
    from routefold.settings import load_settings

    if url is not None and in_process:
        raise Misuse("--url and --in-process contradict each other: give one of them")
    settings = load_settings(url=url, state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    configs = load_routers(config) if config else []
    if len(configs) > 1:
        raise Misuse(f"{config}: {len(configs)} routers in it, but a log is played on one")
    options = PlayOptions(
        turns=turns,
        seed=seed,
        sessions=sessions,
        router=router,
        config=configs[0] if configs else None,
    )
    to_stdout = json_file == Path("-")
    progress = console(stderr=True)
    run = _in_process if in_process else _over_http
    report = signals.run(run(file, settings, options, progress, say))
    if to_stdout:
        print_json(report.to_json())
    else:
        console().print(render(report))
        if json_file is not None:
            try:
                report.write_json(json_file)
            except OSError as error:
                raise Failure(f"{json_file} can't be written ({error.strerror})") from error
    raise typer.Exit(exit_code(report))


async def _over_http(
    file: Path,
    settings: Settings,
    options: PlayOptions,
    console: Console,
    say: Callable[[str], None],
) -> Report:
    from routefold import endpoints
    from routefold.play.log import read_log

    running = endpoints.read(settings.state_dir)
    if settings.url is not None:
        return await _play_at(settings.url, file, options, console)
    if running is not None:
        return await _play_at(running.api_url, file, options, console)
    read_log(file)  # a file that can't be played must not cost a start
    from routefold.installation import installation  # needs the `local` extra

    own = _own_settings(settings)
    async with installation(own, fresh=False, console=console, say=say) as started:
        api_url = started.endpoints.api_url
        return await started.supervisor.guard(_play_at(api_url, file, options, console))


async def _play_at(url: str, file: Path, options: PlayOptions, console: Console) -> Report:
    from producer.client import RoutefoldClient
    from routefold.play.http_gateway import HttpGateway
    from routefold.play.player import play as play_log

    async with RoutefoldClient(url) as client:
        return await play_log(file, HttpGateway(client), options, console)


async def _in_process(
    file: Path,
    settings: Settings,
    options: PlayOptions,
    console: Console,
    say: Callable[[str], None],
) -> Report:
    from routefold import endpoints
    from routefold.play.log import read_log

    running = endpoints.read(settings.state_dir)
    bootstrap_servers = running.bootstrap_servers if running else settings.bootstrap_servers
    if bootstrap_servers is not None:
        return await _play_embedded(bootstrap_servers, file, settings, options, console)
    read_log(file)  # a file that can't be played must not cost a start
    from routefold.installation import installation  # needs the `local` extra

    own = _own_settings(settings)
    async with installation(own, fresh=False, console=console, say=say, with_api=False) as started:
        servers = started.servers.bootstrap_servers
        return await started.supervisor.guard(_play_embedded(servers, file, own, options, console))


async def _play_embedded(
    bootstrap_servers: str,
    file: Path,
    settings: Settings,
    options: PlayOptions,
    console: Console,
) -> Report:
    import secrets

    from routefold.play.embedded_gateway import EmbeddedGateway
    from routefold.play.player import play as play_log
    from router_api.service import RoutingService
    from router_api.tokens import TurnTokens

    service = RoutingService(
        bootstrap_servers=bootstrap_servers,
        topics=settings.topics,
        tokens=TurnTokens([secrets.token_hex()]),  # they are read in this process only
        source="play",
        spool_path=None,
    )
    await service.start()
    try:
        return await play_log(file, EmbeddedGateway(service), options, console)
    finally:
        await service.stop()


def _own_settings(settings: Settings) -> Settings:
    """For an installation that is there for the time of one play."""
    from routefold.state_dirs import nested

    return settings.model_copy(
        update={"state_dir": nested(settings.state_dir, "play"), "port": 0, "metrics_port": None}
    )
