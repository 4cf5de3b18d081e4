"""An evaluation as tables and as JSON."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from routefold.evaluate import metrics
from routefold.evaluate.estimators import Estimate
from routefold.evaluate.evaluation import Answer, Evaluation, Values

ESTIMATORS: Final = {
    "doubly_robust": "doubly robust",
    "snips": "self-normalised IPS",
    "ips": "IPS",
    "logged": "what was earned",
    "gain": "gain (doubly robust)",
}


def to_json(found: Evaluation) -> dict[str, Any]:
    """Everything, for programs. `values` is null where `reasons` says why."""
    return {
        "router": found.router,
        "told": found.told,
        "turns": found.turns,
        "fell_back": found.fell_back,
        "left_out": dict(found.left_out),
        "metrics": {answer.metric: _answer(answer) for answer in found.answers},
    }


def _answer(answer: Answer) -> dict[str, Any]:
    covered, values = answer.overlap, answer.values
    return {
        "reasons": list(answer.reasons),
        "missing": answer.missing,
        "turns": None if covered is None else covered.turns,
        "sessions": None if covered is None else covered.sessions,
        "effective_sessions": None if covered is None else covered.effective_sessions,
        "largest_weight": None if covered is None else covered.largest_weight,
        "mean_weight": None if covered is None else covered.mean_weight,
        "values": None
        if values is None
        else {name: _estimate(getattr(values, name)) for name in ESTIMATORS},
    }


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {
        "value": estimate.value,
        "standard_error": estimate.standard_error,
        "interval_95": list(estimate.interval_95),
    }


def render(found: Evaluation) -> RenderableType:
    """For a rich console, 80 columns or wider."""
    parts: list[RenderableType] = [_headline(found)]
    if not found.answers:
        parts.append(Text("no turn has an outcome that could be counted", style="bold red"))
    for answer in found.answers:
        parts += [_title(answer), *_reasons(answer)]
        if answer.values is not None:
            parts.append(_values(answer.values))
    return Group(*(spaced for part in parts for spaced in (part, Text())))


def _headline(found: Evaluation) -> Text:
    text = Text(f"router {found.router}: {found.turns:,} turns", style="bold")
    if found.fell_back:
        text.append(f", {found.fell_back:,} of them answered by a fallback of the arm picked")
    for reason, count in found.left_out.items():
        text.append(f"\nleft out: {count:,} {reason}", style="not bold")
    return text


def _title(answer: Answer) -> Text:
    text = Text(f"{answer.metric}: {metrics.meaning(answer.metric)}", style="bold")
    covered = answer.overlap
    if covered is not None:
        text.append(
            f"\n{covered.turns:,} turns in {covered.sessions:,} sessions, which say as much as "
            f"{covered.effective_sessions:,.0f}; largest weight {covered.largest_weight:,.1f}",
            style="not bold",
        )
    if answer.missing:
        text.append(f"; {answer.missing:,} turns without it", style="not bold")
    return text


def _reasons(answer: Answer) -> list[Text]:
    if not answer.reasons:
        return []
    return [Text(f"can't be told: {'; '.join(answer.reasons)}", style="bold yellow")]


def _values(values: Values) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("estimate", no_wrap=True)
    for name in ("value", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, label in ESTIMATORS.items():
        estimate: Estimate = getattr(values, name)
        low, high = estimate.interval_95
        sign = "+" if name == "gain" else ""
        numbers = [f"{number:{sign}.4g}" for number in (estimate.value, low, high)]
        style = "bold" if name == "doubly_robust" else ""
        table.add_row(label, numbers[0], f"{numbers[1]} .. {numbers[2]}", style=style)
    return table
