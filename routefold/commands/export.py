"""`routefold export`: the log as Parquet files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from routefold.commands.options import StateDirOption

if TYPE_CHECKING:
    from routefold.history.export import Exported, Progress
    from routefold.history.position import Position
    from routefold.settings import Settings


class Format(StrEnum):
    parquet = "parquet"


def register(app: typer.Typer) -> None:
    app.command("export")(export)


def export(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A new directory, or an archive to go on.")
    ],
    _format: Annotated[Format, typer.Option("--format", help="There is one.")] = Format.parquet,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="POSITION",
            help="2026-01-03T12:00:00Z, a date, or offsets by partition like 0:1200,1:900; else "
            "the log's beginning.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="POSITION", help="Not included; else the log's end now."),
    ] = None,
    router: Annotated[
        str | None, typer.Option("--router", help="Its tables only, without the log's records.")
    ] = None,
    state_dir: StateDirOption = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write what was done as JSON; - prints it."),
    ] = None,
) -> None:
    """Write the log to Parquet files; the same again adds what is new.

    DIR gets the tables turns, outcomes and joined (a turn with what its outcomes said) by day of
    the turn, and events, the records as Kafka has them, from which `routefold rebuild` can fold
    without Kafka. Times are those at which the broker appended a record. An interrupted export
    leaves DIR as it was.

    [bold]Example:[/bold]

        routefold export --format parquet --out archive
    """
    from routefold import logs, signals
    from routefold.commands.output import write_json
    from routefold.history.position import Position
    from routefold.settings import load_settings

    first, last = (Position.parse(text) if text else None for text in (start, until))
    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    with _bars() as bars:
        exported = signals.run(_export(settings, out, first, last, router, bars))
    if json_file != Path("-"):
        typer.echo(_summary(out, exported))
    if json_file is not None:
        write_json(json_file, _document(out, exported))


async def _export(
    settings: Settings,
    out: Path,
    start: Position | None,
    end: Position | None,
    router: str | None,
    bars: Progress,
) -> Exported:
    from routefold import collector
    from routefold.endpoints import find_bootstrap_servers
    from routefold.history.export import export as export_log

    collector.tame()  # else half the time is spent looking for cycles among records
    return await export_log(
        find_bootstrap_servers(settings),
        settings.topics,
        out,
        start=start,
        end=end,
        router=router,
        progress=bars,
    )


@contextmanager
def _bars() -> Iterator[Progress]:
    """Two bars on standard error; where that is no terminal they are printed once, at the end."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from routefold.commands.output import console

    bars = Progress(
        TextColumn("{task.description:<7}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} {task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console(stderr=True),
    )

    class Bars:
        def __init__(self) -> None:
            self._reading = bars.add_task("reading", total=0, unit="records", rate="")
            self._joining = bars.add_task("joining", total=0, unit="days", rate="", visible=False)

        def reading(self, done: int, total: int) -> None:
            task = bars.tasks[self._reading]
            speed = done / task.elapsed if task.elapsed else 0.0
            bars.update(self._reading, completed=done, total=total, rate=f"{speed:,.0f} events/s")

        def joining(self, done: int, total: int) -> None:
            bars.update(self._joining, completed=done, total=total, visible=True)

    with bars:
        yield Bars()


def _summary(out: Path, exported: Exported) -> str:
    if not exported.records:
        return f"{out}: nothing new"
    rows = ", ".join(f"{count:,} {table}" for table, count in exported.rows.items())
    line = f"{out}: {exported.records:,} new records; rows written: {rows}"
    skipped = ", ".join(f"{count:,} {reason}" for reason, count in sorted(exported.skipped.items()))
    return f"{line}; in no table: {skipped}" if skipped else line


def _document(out: Path, exported: Exported) -> Mapping[str, Any]:
    manifest = exported.manifest
    return {
        "directory": str(out),
        "records": exported.records,
        "rows": exported.rows,
        "skipped": exported.skipped,
        "archive": {
            "topic": manifest.topic,
            "router": manifest.router,
            "runs": manifest.runs,
            "ranges": {str(p): list(range_) for p, range_ in manifest.ranges.items()},
            "skipped": manifest.skipped,
            "files": {
                table: len(manifest.table(table))
                for table in ("events", "turns", "outcomes", "joined")
            },
        },
    }
