"""A calibration as a table, as the part of a router's configuration, and as JSON."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from producer.calibration import Calibration, SignalWorth
from schemas.router_config import MIN_REWARD


def rewards(found: Calibration) -> dict[str, float]:
    """The weights for `rewards` of a router, beside those that it has. Two decimals are more than
    the intervals support."""
    weights = {worth.signal.value: round(worth.weight, 2) for worth in found.signals}
    return {signal: weight if weight >= MIN_REWARD else 0.0 for signal, weight in weights.items()}


def to_yaml(found: Calibration) -> str:
    """Lines to put into a router's configuration, for `routefold apply`."""
    lines = [f"  {signal}: {weight:g}" for signal, weight in rewards(found).items()]
    return "\n".join(["rewards:", "  quality: 1", *lines])


def table(found: Calibration) -> Table:
    """One row a signal."""
    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("signal", no_wrap=True)
    for name in ("turns", "conversations", "success with", "without", "weight", "95 % interval"):
        rows.add_column(name, justify="right", no_wrap=True)
    for worth in found.signals:
        rows.add_row(
            worth.signal.value,
            f"{worth.turns:,}",
            f"{worth.conversations:,}",
            _share(worth.success_with),
            _share(worth.success_without),
            f"{worth.weight:.2f}",
            _interval(worth),
        )
    return rows


def areas(found: Calibration) -> str:
    """How well the score foretells success, by source."""
    return ", ".join(
        f"{source or 'all'} {'too few to say' if area is None else format(area, '.3f')}"
        for source, area in found.area.items()
    )


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _interval(worth: SignalWorth) -> str:
    if worth.low is None or worth.high is None:
        return "-"
    return f"{worth.low:.2f} .. {worth.high:.2f}"


def to_json(found: Calibration) -> dict[str, Any]:
    """Everything, for programs."""
    return {
        "conversations": found.conversations,
        "signals": [
            {
                "signal": worth.signal.value,
                "turns": worth.turns,
                "conversations": worth.conversations,
                "success_with": _number(worth.success_with),
                "success_without": _number(worth.success_without),
                "weight": float(worth.weight),
                "interval_95": [_number(worth.low), _number(worth.high)],
            }
            for worth in found.signals
        ],
        "area_cross_validated": dict(found.area),
        "rewards": rewards(found),
    }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
