"""One line of progress for a download: a bar on a terminal, two plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def counted(console: Console | None, title: str, *, total: int) -> Iterator[Callable[[str], None]]:
    """Give a function to call with the name of each file that arrived. Silent without a console."""
    if console is None:
        yield lambda _file_name: None
    elif console.is_terminal:
        yield from _bar(console, title, total)
    else:
        started = time.monotonic()
        console.print(f"Downloading {title}: {total} files")
        yield lambda _file_name: None
        console.print(f"Downloaded in {time.monotonic() - started:.0f} s")


def _bar(console: Console, title: str, total: int) -> Iterator[Callable[[str], None]]:
    columns = (
        TextColumn("Downloading {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total)
        arrived: set[str] = set()

        def on_jar(file_name: str) -> None:
            arrived.add(file_name)
            progress.update(task, completed=min(total, len(arrived)))

        yield on_jar
        progress.update(task, completed=total)
