"""Shows learning while it happens: a table on a terminal, lines now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from routefold.demo.learning import ArmView, TypeView, View

_MOST_ARMS_SHOWN: Final = 3
_HEAD_LINES: Final = 5
_BAR_CELLS: Final = 8  # the table then fits 80 columns
_PLAIN_EVERY_S: Final = 5.0


class Display(Protocol):
    """Where views go while the demonstration runs."""

    def show(self, view: View) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def display_on(console: Console, turns: int) -> Display:
    """The display that fits the console; `turns` is how many will be played."""
    return LiveTable(console, turns) if console.is_terminal else PlainLines(console, turns)


class LiveTable:
    """One table, redrawn in place."""

    def __init__(self, console: Console, turns: int) -> None:
        self._turns = turns
        self._lines = console.size.height - _HEAD_LINES
        self._live = Live(console=console, refresh_per_second=8, transient=True)

    def show(self, view: View) -> None:
        arms = self._lines // max(1, len(view.types))
        self._live.update(render_view(view, self._turns, arms))

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)


class PlainLines:
    """Two lines every few seconds, for logs and pipes."""

    def __init__(self, console: Console, turns: int) -> None:
        self._console = console
        self._turns = turns
        self._next_at = 0.0

    def show(self, view: View) -> None:
        now = time.monotonic()
        if now < self._next_at or not view.turns:
            return
        self._next_at = now + _PLAIN_EVERY_S
        leaders = ", ".join(
            f"{each.name} {each.arms[0].name} {each.arms[0].share:.0%}" for each in view.types
        )
        line = f"{view.turns:,}/{self._turns:,} turns; {utility_line(view)}"
        self._console.print(f"{line}\n  {leaders}", soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


def utility_line(view: View) -> str:
    """The utility earned lately between its two yardsticks."""
    lately = "-" if view.utility_lately is None else f"{view.utility_lately:.3f}"
    return (
        f"utility lately {lately} (uniform choice {view.utility_uniform:.3f}, "
        f"best arm per type {view.utility_best:.3f})"
    )


def render_view(view: View, turns: int, arms: int = _MOST_ARMS_SHOWN) -> RenderableType:
    """The table of a moment: for each request type the `arms` (1 to 3) that get most of it."""
    head = Text()
    head.append(f"{view.turns:,} of {turns:,} turns folded", style="bold")
    if view.freshness_p99_ms is not None:
        head.append(f"; from outcome to router in {view.freshness_p99_ms:,.0f} ms (p99)")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("request type", no_wrap=True)
    table.add_column("turns", justify="right", no_wrap=True)
    table.add_column("next turns", no_wrap=True)
    table.add_column("arm", no_wrap=True)
    table.add_column("believed", justify="right", no_wrap=True)
    table.add_column("true", justify="right", no_wrap=True)
    for each in view.types:
        for row in _rows(each, max(1, min(arms, _MOST_ARMS_SHOWN))):
            table.add_row(*row)
    return Group(head, Text(utility_line(view)), Text(), table)


def _rows(of: TypeView, arms: int) -> list[tuple[RenderableType, ...]]:
    return [
        (
            of.name if index == 0 else "",
            f"{of.turns:,}" if index == 0 else "",
            _bar(arm.share),
            Text(arm.name, style="bold green" if arm.name == of.best_arm else ""),
            _belief(arm),
            f"{arm.true_rate:.2f}",
        )
        for index, arm in enumerate(of.arms[:arms])
    ]


def _bar(share: float) -> Text:
    filled = round(share * _BAR_CELLS)
    bar = Text("█" * filled, style="green")
    bar.append("░" * (_BAR_CELLS - filled), style="dim")
    return bar.append(f" {share:4.0%}", style="default")


def _belief(arm: ArmView) -> str:
    low, high = arm.interval_90
    return f"{arm.mean:.2f} ±{(high - low) / 2:.2f}"
