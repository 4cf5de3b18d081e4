"""Rows of the table `joined`; a test states only what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from routefold.history.columns import JOINED, schema_of


def joined(*rows: Mapping[str, Any]) -> pl.DataFrame:
    """Turns of router r that arm a served, with nothing said about them but what is given."""
    schema = schema_of(JOINED)
    base: dict[str, Any] = {
        **dict.fromkeys(schema),
        "router": "r",
        "request_type": "general",
        "arm": "a",
        "eligible": ["a", "b"],
        "probability": 0.5,
        "mode": "live",
        "scores": [],
        "signals": [],
    }
    full = []
    for number, row in enumerate(rows):
        filled = {**base, "turn_id": f"turn-{number}", **row}
        filled["arm_served"] = filled["arm_served"] or filled["arm"]
        full.append(filled)
    return pl.DataFrame(full, schema=schema, orient="row")


def signals(*pairs: tuple[str, str]) -> pl.DataFrame:
    """(turn, signal) as `value_of` takes them."""
    schema = {"turn_id": pl.String, "signal": pl.String}
    return pl.DataFrame(list(pairs), schema=schema, orient="row")


def scored(values: Iterable[float], metric: str = "quality") -> list[Mapping[str, Any]]:
    return [{"scores": [{"metric": metric, "value": value}]} for value in values]
