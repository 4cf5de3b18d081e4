"""How far a rebuild is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from consumer.rebuild.rebuild import Advance, OnAdvance

# The rate of the last seconds: long enough for checkpoints to even out.
_RATE_OVER_S: Final = 15.0
_LINE_EVERY_S: Final = 10.0


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} events/s" if task.speed else "")


@contextmanager
def shown(console: Console, title: str) -> Iterator[OnAdvance]:
    """Give a function that takes every Advance and shows it."""
    if console.is_terminal:
        yield from _bar(console, title)
    else:
        yield from _lines(console, title)


def _bar(console: Console, title: str) -> Iterator[OnAdvance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, speed_estimate_period=_RATE_OVER_S) as progress:
        tasks: list[TaskID] = []

        def show(advance: Advance) -> None:
            if not tasks or progress.tasks[tasks[-1]].total != advance.total:
                tasks.append(progress.add_task(title, total=advance.total, note=""))
            note = "resting: the live consumer is behind" if advance.resting else ""
            progress.update(tasks[-1], completed=advance.done, note=note)

        yield show


def _lines(console: Console, title: str) -> Iterator[OnAdvance]:
    begun_at = told_at = time.monotonic()
    begun: int | None = None

    def show(advance: Advance) -> None:
        nonlocal begun, told_at, begun_at
        now = time.monotonic()
        if begun is None:
            begun, begun_at = advance.done, now
        if now - told_at < _LINE_EVERY_S:
            return
        told_at = now
        rate = (advance.done - begun) / max(now - begun_at, 1e-9)
        left = f", {(advance.total - advance.done) / rate:,.0f} s left" if rate > 0 else ""
        note = ", resting" if advance.resting else ""
        console.print(
            f"{title}: {advance.done:,} of {advance.total:,} events, {rate:,.0f}/s{left}{note}"
        )

    yield show
