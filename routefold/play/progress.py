"""The two bars of a play: turns played, and events folded."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class PlayProgress:
    """Drawn on a terminal only; elsewhere the console prints the bars once, at the end."""

    def __init__(self, console: Console, turns: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._playing = self._progress.add_task("playing", total=turns, unit="turns")
        self._folding = self._progress.add_task("folding", total=None, unit="events", visible=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def turn_played(self) -> None:
        self._progress.advance(self._playing)

    def begin_folding(self, accepted: int) -> None:
        self._progress.update(self._folding, total=accepted, visible=True)

    def folded(self, events: int) -> None:
        self._progress.update(self._folding, completed=events)
