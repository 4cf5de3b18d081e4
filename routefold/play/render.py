"""The report for people: what was learned at a glance, then the tables behind it."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from routefold.play.report import Percentiles, Report

# More columns than this wrap into unreadable slivers on a usual terminal; the JSON has all types.
_MAX_TYPES: Final = 8


def render(report: Report) -> RenderableType:
    """Tables for a rich console, 80 columns or wider."""
    parts: list[RenderableType] = [_headline(report)]
    if report.turns:
        parts += [_standings(report), _quarters(report), _shares(report)]
    parts.append(_events(report))
    return Group(*(spaced for part in parts for spaced in (part, Text())))


def _headline(report: Report) -> Text:
    text = Text(overflow="fold")
    if not report.complete:
        text.append(f"INCOMPLETE: {report.problem}\n", style="bold red")
    text.append(report.log, style="bold")
    text.append(
        f" on router {report.router}: {report.turns:,} turns in {report.seconds:.1f} s, "
        f"{report.cost_usd:,.4g} USD"
    )
    closed = report.utility.gap_closed
    if closed is not None:
        text.append(
            f"\nIn the last quarter the router had gone {100 * closed:.0f} % of the way "
            "from uniform choice to the best single arm",
            style="bold green" if closed > 0 else "bold yellow",
        )
        text.append(" (by utility; above 100 %: better than any single arm)")
    return text


def _standings(report: Report) -> Table:
    table = _table("The same turns, chosen in different ways")
    table.add_column("choice", overflow="fold")
    for name in ("utility", "reward", "USD per 1,000"):
        table.add_column(name, justify="right", no_wrap=True)
    for standing in report.standings:
        ours = standing.label.startswith("as played")
        label = standing.label if standing.arm is None else f"{standing.label}: {standing.arm}"
        table.add_row(
            Text(label),  # an arm's name may look like console markup
            f"{standing.utility:.4f}",
            f"{standing.reward:.4f}",
            f"{standing.usd_per_1000:.4f}",
            style="bold" if ours else "",
        )
    return table


def _quarters(report: Report) -> Table:
    table = _table("As the router learned")
    table.add_column("mean")
    for name in ("1st quarter", "2nd", "3rd", "4th"):
        table.add_column(name, justify="right")
    for name, measure in (("utility", report.utility), ("reward", report.reward)):
        table.add_row(name, *(_number(value, ".4f") for value in measure.by_quarter))
    return table


def _shares(report: Report) -> Table:
    most = sorted(report.type_turns, key=lambda name: -report.type_turns[name])[:_MAX_TYPES]
    omitted = len(report.type_turns) - len(most)
    note = f"; {omitted} rarer types only in the JSON" if omitted else ""
    table = _table(f"Who answered what, in % (* best arm of the type by utility{note})")
    table.add_column("arm", overflow="fold")
    for name in most:
        heading = name.replace("_", "\n")
        table.add_column(f"{heading}\n{report.type_turns[name]:,}", justify="right")
    for arm in _by_use(report):
        table.add_row(Text(arm), *(_share(report, name, arm) for name in most))
    return table


def _by_use(report: Report) -> list[str]:
    """All arms, the most used first."""
    used: dict[str, float] = {}
    for name, shares in report.shares.items():
        for arm, share in shares.items():
            used[arm] = used.get(arm, 0.0) + share * report.type_turns[name]
    return sorted(used, key=lambda arm: -used[arm])


def _share(report: Report, name: str, arm: str) -> Text:
    percent = 100.0 * report.shares[name][arm]
    best = report.type_best[name] == arm
    return Text(
        ("*" if best else "") + (f"{percent:.1f}" if percent else "-"),
        style="bold green" if best else "",
    )


def _events(report: Report) -> Table:
    events = report.events
    table = _table("Events and times")
    table.add_column("what")
    table.add_column("value", overflow="fold")
    table.add_row(
        "events",
        f"{events.accepted:,} accepted: {events.folded:,} folded, "
        f"{events.duplicates:,} duplicates, {events.late:,} late, {events.dead:,} dead",
    )
    table.add_row("pick latency", _percentiles(report.pick_latency_us, "µs"))
    table.add_row("freshness", _percentiles(report.freshness_ms, "ms"))
    table.add_row("state digest", report.state_digest or "-")
    return table


def _percentiles(of: Percentiles, unit: str) -> str:
    return f"p50 {_number(of.p50, ',.0f')} {unit}, p99 {_number(of.p99, ',.0f')} {unit}"


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="", header_style="dim", box=None)
