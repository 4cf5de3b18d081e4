"""A bar for each step of a command that reads the log, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from routefold.commands.output import console

Told = Callable[[str, int, int], None]


@contextmanager
def steps() -> Iterator[Told]:
    """Call the result with (step, records done, records in all); a new step begins a new bar.

    Drawn on a terminal; elsewhere the bars are printed once, at the end.
    """
    bars = Progress(
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("records"),
        TimeRemainingColumn(),
        console=console(stderr=True),
    )
    known: dict[str, int] = {}

    def told(step: str, done: int, total: int) -> None:
        if step not in known:
            known[step] = int(bars.add_task(step, total=total))
        bars.update(bars.task_ids[known[step]], completed=done, total=total)

    with bars:
        yield told
