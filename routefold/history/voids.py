"""Outcomes without what was retracted. Pure.

The fold's rules (consumer/voids.py): of each metric counts what was reported first by an outcome
that is not void, and what the voiding outcome reports stands in the place of what it voids. What is
void stays void, also when it comes again or comes only then. Most turns have nothing void, and
their outcomes are passed through as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import polars as pl

from consumer.columns import MEASURED
from routefold.history.columns import OUTCOMES, schema_of

_TURN: Final = ("partition", "turn_id")
_TIMES: Final = ("latency_ms", "ttft_ms")
_FAILED: Final = ("error", "timeout", "cancelled")

# A metric that an outcome reports: its kind, and its name within the kind.
_Metric = tuple[str, str]
_Row = dict[str, Any]


def without_voided(outcomes: pl.DataFrame) -> pl.DataFrame:
    """The outcomes, sorted by partition and offset as before; of turns with a void only those that
    are not void, each with the metrics that count because of it."""
    voiding = outcomes.filter(pl.col("voids").is_not_null())
    if voiding.is_empty():
        return outcomes
    turns = voiding.select(_TURN).unique()
    of_turn: dict[tuple[Any, ...], list[_Row]] = {}
    for row in outcomes.join(turns, on=_TURN, how="semi", maintain_order="left").to_dicts():
        of_turn.setdefault((row["partition"], row["turn_id"]), []).append(row)
    settled = [row for rows in of_turn.values() for row in _settled(rows)]
    others = outcomes.join(turns, on=_TURN, how="anti", maintain_order="left")
    counting = pl.DataFrame(settled, schema=schema_of(OUTCOMES))
    return pl.concat([others, counting]).sort("partition", "offset")


def _settled(rows: list[_Row]) -> Iterator[_Row]:
    """What counts of one turn's outcomes."""
    turn = _Turn(rows)
    for index in range(len(rows)):
        turn.apply(index)
    for index, row in enumerate(rows):
        if row["outcome_id"] not in turn.voided:
            yield _only(row, {metric for metric, by in turn.counted.items() if by == index})


class _Turn:
    """What counts, and what would count in its place. Rows are named by their index."""

    def __init__(self, rows: list[_Row]) -> None:
        self.counted: dict[_Metric, int] = {}  # because of which row
        self.voided: set[str] = set()
        self._rows = rows
        self._records: dict[str, dict[_Metric, int]] = {}  # all that outcomes have said, in order

    def apply(self, index: int) -> None:
        """An outcome, in the order of the log."""
        row = self._rows[index]
        place, free = len(self._records), list[_Metric]()
        if row["voids"] is not None:
            place, free = self._void(row)
        if row["outcome_id"] not in self.voided:
            self._add(index, place)
        for metric in free:
            waiting = [said[metric] for said in self._records.values() if metric in said]
            if metric not in self.counted and waiting:
                self.counted[metric] = waiting[0]

    def _void(self, by: _Row) -> tuple[int, list[_Metric]]:
        """The place that the voided outcome had, and the metrics that are free again."""
        outcome = by["voids"]
        said = self._records.get(outcome, {})
        if any(self._rows[index]["router"] != by["router"] for index in said.values()):
            return len(self._records), []  # of another router: not the outcome that was meant
        place = list(self._records).index(outcome) if said else len(self._records)
        self._records.pop(outcome, None)
        self.voided.add(outcome)
        free = [metric for metric, index in said.items() if self.counted.get(metric) == index]
        for metric in free:
            del self.counted[metric]
        return place, free

    def _add(self, index: int, place: int) -> None:
        outcome = self._rows[index]["outcome_id"]
        is_new = outcome not in self._records
        said = self._records.get(outcome, {})
        for metric in _metrics(self._rows[index]):
            if metric not in said and (is_new or metric not in self.counted):
                said[metric] = index
                self.counted.setdefault(metric, index)
        if is_new and said:
            items = list(self._records.items())
            self._records = dict([*items[:place], (outcome, said), *items[place:]])


def _metrics(row: _Row) -> Iterable[_Metric]:
    if row["status"] != "none":
        yield "status", "cancelled" if row["status"] == "cancelled" else "ended"
    for name in MEASURED:
        if row[name] is not None and not (name in _TIMES and row["status"] in _FAILED):
            yield "measured", name
    for score in row["scores"]:
        yield "score", score["metric"]
    for signal in row["signals"]:
        yield "signal", signal


def _only(row: _Row, counting: set[_Metric]) -> _Row:
    """The row with nothing but these metrics."""
    status = any(kind == "status" for kind, _ in counting)
    return {
        **row,
        "status": row["status"] if status else "none",
        **{name: row[name] if ("measured", name) in counting else None for name in MEASURED},
        "scores": [s for s in row["scores"] if ("score", s["metric"]) in counting],
        "signals": [s for s in row["signals"] if ("signal", s) in counting],
    }
