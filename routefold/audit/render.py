"""An audit as a table and as JSON."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from routefold.audit.audit import Report
from routefold.audit.verdicts import REMEDIES, Difference, Reason


def to_json(report: Report) -> dict[str, Any]:
    """Everything, for programs; all reasons, with their counts."""
    return {
        "picks": report.picks,
        "equal": report.equal,
        "different": {reason.name.lower(): report.different[reason] for reason in Reason},
        "bypassed": report.bypassed,
        "states": report.states,
        "tables": report.tables,
        "seconds": report.seconds,
        "examples": [_example(example) for example in report.examples],
    }


def _example(example: Difference) -> dict[str, Any]:
    reason = example.reason.name.lower()
    return {**example._asdict(), "turn_id": str(example.turn_id), "reason": reason}


def render(report: Report) -> RenderableType:
    """For a rich console, 80 columns or wider."""
    parts: list[RenderableType] = [_headline(report)]
    if report.different:
        parts += [_reasons(report), _examples(report)]
    return Group(*(spaced for part in parts for spaced in (part, Text())))


def _headline(report: Report) -> Text:
    if not report.picks:
        text = Text("no pick in the log to audit", style="bold yellow")
    else:
        good = not report.different
        text = Text(
            f"{report.equal:,} of {report.picks:,} picks are the same, to the last bit",
            style="bold green" if good else "bold red",
        )
        text.append(
            f" ({report.tables:,} choice tables from {report.states:,} states, "
            f"{report.seconds:.1f} s)",
            style="not bold default",
        )
    if report.bypassed:
        text.append(
            f"\n{report.bypassed:,} turns of mode bypass: nothing was picked",
            style="not bold default",
        )
    return text


def _reasons(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("picks", justify="right", no_wrap=True)
    table.add_column("difference", no_wrap=True)
    table.add_column("as a rule", overflow="fold")
    for reason, count in report.different.most_common():
        table.add_row(f"{count:,}", reason.value, REMEDIES[reason])
    return table


def _examples(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
    table.add_column("turn", no_wrap=True)
    table.add_column("router", overflow="fold")
    table.add_column("difference", overflow="fold")
    for example in report.examples:
        difference = f"{example.reason}: {example.detail}"
        table.add_row(str(example.turn_id), Text(example.router), Text(difference))
    return table
