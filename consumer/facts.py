"""Columns to facts: which observations a batch brings, and which of its events can't be believed.

A fact is one metric of one turn. Facts are in log order. Validation is total: after it every fact
has a known cell, a value within its range, and a time that is not in the future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from consumer.decode import Decoded
from consumer.records import Batch, DeadLetter
from consumer.routers import KnownRouter, Routers
from schemas.metrics import BUILT_IN, Kind, kind_of, max_value, to_fixed

REASON_TURN_ID: Final = "bad_turn_id"
REASON_ROUTER: Final = "unknown_router"
REASON_REQUEST_TYPE: Final = "unknown_request_type"
REASON_ARM: Final = "unknown_arm"
REASON_METRIC: Final = "unknown_metric"
REASON_VALUE: Final = "impossible_value"
REASON_TIME: Final = "impossible_time"
REASON_EMPTY: Final = "empty_outcome"
REASON_UNSUPPORTED: Final = "unsupported"

# Clocks of honest machines differ by seconds; five minutes is a wrong clock or a wrong unit, and a
# time from the future would make everything after it look late.
FUTURE_TOLERANCE_MS: Final = 5 * 60 * 1000

_MEASURED: Final = ("latency_ms", "ttft_ms", "tokens_in", "tokens_out", "cost_usd")
_TIMES: Final = ("latency_ms", "ttft_ms")


class Cell(NamedTuple):
    """Where an event's facts are credited: `router` is the one its partition knows."""

    partition: int
    router: KnownRouter
    request_type: str
    arm: str


@dataclass(frozen=True, slots=True)
class Events:
    """The believable events, one entry each, in log order."""

    row: NDArray[np.int64]
    partition: NDArray[np.int64]
    turn_hi: NDArray[np.uint64]
    turn_lo: NDArray[np.uint64]
    turn_time_ms: NDArray[np.int64]
    occurred_at: NDArray[np.int64]
    cell: NDArray[np.int64]  # index into `cells`


@dataclass(frozen=True, slots=True)
class Facts:
    """Believable events with the facts they bring. `event` indexes `events`, ascending."""

    events: Events
    cells: Sequence[Cell]
    event: NDArray[np.int64]
    code: NDArray[np.int64]  # the metric's code in its router
    fixed: NDArray[np.int64]  # fixed-point value
    dead: Sequence[DeadLetter]


def facts_of(batch: Batch, decoded: Decoded, routers: Routers) -> Facts:
    """The facts of a decoded batch, given the routers that its partitions know."""
    turns = decoded.turns.with_columns(
        pl.lit(None, pl.String).alias("arm_served"), pl.lit(True).alias("is_turn")
    )
    outcomes = decoded.outcomes.with_columns(pl.lit(False).alias("is_turn"))
    common = ["row", "turn_id", "router", "request_type", "arm", "arm_served"]
    events = pl.concat([f.select(*common, "occurred_at", "is_turn") for f in (turns, outcomes)])
    events = events.sort("row")
    events = events.with_columns(
        pl.Series("partition", batch.partition[events["row"].to_numpy()], dtype=pl.Int64)
    )
    dead = list(decoded.dead)
    ids = _split_ids(events["turn_id"])
    _reject_ids(events, ids, dead)
    _reject_times(events, ids, batch, dead)
    events, cells = _resolve_cells(events, routers, dead)
    long = pl.concat([_turn_facts(turns, dead), *_outcome_facts(outcomes, dead)])
    long = _coded(long, events, cells, dead)
    bad = pl.Series([letter.row for letter in dead], dtype=pl.Int64)
    keep = ~events["row"].is_in(bad.implode())
    events, ids = events.filter(keep), ids.take(keep.to_numpy())
    long = long.filter(~pl.col("row").is_in(bad.implode())).sort("row", maintain_order=True)
    return Facts(
        events=Events(
            row=events["row"].to_numpy(),
            partition=events["partition"].to_numpy(),
            turn_hi=ids.hi,
            turn_lo=ids.lo,
            turn_time_ms=ids.time_ms,
            occurred_at=events["occurred_at"].to_numpy(),
            cell=events["cell"].to_numpy(),
        ),
        cells=cells,
        event=np.searchsorted(events["row"].to_numpy(), long["row"].to_numpy()),
        code=long["code"].to_numpy(),
        fixed=long["fixed"].to_numpy(),
        dead=_first_per_row(dead),
    )


def _first_per_row(dead: list[DeadLetter]) -> list[DeadLetter]:
    by_row: dict[int, DeadLetter] = {}
    for letter in dead:
        by_row.setdefault(letter.row, letter)
    return [by_row[row] for row in sorted(by_row)]


@dataclass(frozen=True, slots=True)
class _Ids:
    hi: NDArray[np.uint64]
    lo: NDArray[np.uint64]

    @property
    def time_ms(self) -> NDArray[np.int64]:
        return (self.hi >> np.uint64(16)).astype(np.int64)

    @property
    def is_uuid7(self) -> NDArray[np.bool_]:
        version = (self.hi >> np.uint64(12)) & np.uint64(0xF)
        variant = self.lo >> np.uint64(62)
        return np.asarray((version == 7) & (variant == 0b10))

    def take(self, keep: NDArray[np.bool_]) -> _Ids:
        return _Ids(self.hi[keep], self.lo[keep])


def _split_ids(turn_ids: pl.Series) -> _Ids:
    halves = np.frombuffer(b"".join(turn_ids.to_list()), dtype=">u8").reshape(-1, 2)
    return _Ids(halves[:, 0].astype(np.uint64), halves[:, 1].astype(np.uint64))


def _reject_ids(events: pl.DataFrame, ids: _Ids, dead: list[DeadLetter]) -> None:
    for row, turn_id in events.filter(~ids.is_uuid7).select("row", "turn_id").iter_rows():
        dead.append(DeadLetter(row, REASON_TURN_ID, f"turn id {turn_id.hex()} is not a UUIDv7"))


def _reject_times(events: pl.DataFrame, ids: _Ids, batch: Batch, dead: list[DeadLetter]) -> None:
    log_time = batch.log_time_ms[events["row"].to_numpy()]
    occurred_at = events["occurred_at"].to_numpy()
    latest = log_time + FUTURE_TOLERANCE_MS
    disagree = events["is_turn"].to_numpy() & (occurred_at != ids.time_ms)
    future = (occurred_at > latest) | (ids.time_ms > latest) | (occurred_at < 0)
    for i in np.flatnonzero(disagree | future):
        detail = (
            f"occurred_at {occurred_at[i]} is not the time in the turn id, {ids.time_ms[i]}"
            if disagree[i]
            else f"event time {occurred_at[i]}, turn time {ids.time_ms[i]}, but the broker "
            f"appended it at {log_time[i]} ms: check the publisher's clock and units"
        )
        dead.append(DeadLetter(int(events["row"][int(i)]), REASON_TIME, detail))


def _resolve_cells(
    events: pl.DataFrame, routers: Routers, dead: list[DeadLetter]
) -> tuple[pl.DataFrame, list[Cell]]:
    """Add the column `cell`, an index into the returned list; -1 where there is none."""
    address = ["partition", "router", "request_type", "arm", "arm_served"]
    distinct = events.select(address).unique(maintain_order=True)
    cells: list[Cell] = []
    index: list[int] = []
    faults: list[tuple[str, str] | None] = []
    for partition, router, request_type, arm, arm_served in distinct.iter_rows():
        known = routers.get((partition, router))
        fault = _address_fault(known, router, request_type, arm, arm_served)
        faults.append(fault)
        index.append(-1 if fault else len(cells))
        if not fault:
            assert known is not None
            cells.append(Cell(partition, known, request_type, arm_served or arm))
    distinct = distinct.with_columns(
        pl.Series("cell", index, dtype=pl.Int64),
        pl.Series("address", range(len(index)), dtype=pl.Int64),
    )
    events = events.join(distinct, on=address, how="left", nulls_equal=True, maintain_order="left")
    if any(faults):
        for row, at in events.filter(pl.col("cell") < 0).select("row", "address").iter_rows():
            reason, detail = faults[at] or ("", "")
            dead.append(DeadLetter(row, reason, detail))
    return events, cells


def _address_fault(
    known: KnownRouter | None, router: str, request_type: str, arm: str, arm_served: str | None
) -> tuple[str, str] | None:
    if known is None:
        return REASON_ROUTER, f"router {router!r} has not been configured"
    if request_type not in known.request_types:
        return REASON_REQUEST_TYPE, f"router {router!r} knows no request type {request_type!r}"
    for name in (arm, arm_served):
        if name is not None and name not in known.arms:
            return REASON_ARM, f"router {router!r} never had an arm {name!r}"
    return None


def _long(frame: pl.DataFrame, metric: str, value: pl.Expr) -> pl.DataFrame:
    return frame.select(
        "row", pl.lit(metric).alias("metric"), value.cast(pl.Float64).alias("value")
    )


def _turn_facts(turns: pl.DataFrame, dead: list[DeadLetter]) -> pl.DataFrame:
    possible = (
        turns["probability"].is_between(0, 1, closed="right") & turns["probability"].is_finite()
    )
    for row, value in turns.filter(~possible).select("row", "probability").iter_rows():
        dead.append(DeadLetter(row, REASON_VALUE, f"probability {value} is not within (0, 1]"))
    reacting = turns.filter(pl.col("reaction").list.len() > 0)
    dead += _letters(reacting, REASON_UNSUPPORTED, "reaction needs a newer consumer")
    return _long(turns.filter(possible), "picked", pl.col("probability"))


def _outcome_facts(outcomes: pl.DataFrame, dead: list[DeadLetter]) -> list[pl.DataFrame]:
    newer = (pl.col("signals").list.len() > 0) | pl.col("voids").is_not_null()
    what = "signals and voids need a newer consumer"
    dead += _letters(outcomes.filter(newer), REASON_UNSUPPORTED, what)
    failed = pl.col("status").is_in(["error", "timeout"])
    ended = outcomes.filter(failed | (pl.col("status") == "ok"))
    frames = [
        _long(ended, "success", pl.col("status") == "ok"),
        _long(outcomes.filter(failed), "error", pl.lit(0.0)),
        _long(outcomes.filter(pl.col("status") == "cancelled"), "cancelled", pl.lit(1.0)),
    ]
    # A call that failed took no time to answer: its time is the time-out's, not the arm's.
    answered = outcomes.filter(pl.col("status").is_in(["ok", "none"]))
    for metric in _MEASURED:
        source = answered if metric in _TIMES else outcomes
        frames.append(_long(source.filter(pl.col(metric).is_not_null()), metric, pl.col(metric)))
    scores = outcomes.filter(pl.col("scores").list.len() > 0).select("row", "scores")
    scores = scores.explode("scores").unnest("scores")
    built_in = pl.col("metric").is_in(list(BUILT_IN))
    for row, metric in scores.filter(built_in).select("row", "metric").iter_rows():
        dead.append(DeadLetter(row, REASON_METRIC, f"{metric!r} is measured, not scored"))
    declared = scores.filter(~built_in)
    frames.append(declared.select("row", "metric", "value"))
    _reject_empty(outcomes, dead)
    return frames


def _reject_empty(outcomes: pl.DataFrame, dead: list[DeadLetter]) -> None:
    nothing = (
        (pl.col("status") == "none")
        & (pl.col("scores").list.len().fill_null(0) == 0)
        & pl.all_horizontal(pl.col(metric).is_null() for metric in _MEASURED)
    )
    dead += _letters(outcomes.filter(nothing), REASON_EMPTY, "the outcome reports nothing")


def _letters(bad: pl.DataFrame, reason: str, detail: str) -> list[DeadLetter]:
    return [DeadLetter(row, reason, detail) for row in bad["row"]]


def _coded(
    long: pl.DataFrame, events: pl.DataFrame, cells: Sequence[Cell], dead: list[DeadLetter]
) -> pl.DataFrame:
    """Add each fact's code and fixed-point value; drop and record what has none."""
    long = long.join(events.select("row", "cell"), on="row", how="left", maintain_order="left")
    long = long.filter(pl.col("cell") >= 0)
    frames: list[pl.DataFrame] = []
    for (metric,), part in long.group_by("metric", maintain_order=True):
        assert isinstance(metric, str)
        kind = kind_of(metric)
        possible = part["value"].is_finite() & part["value"].is_between(0, max_value(kind))
        _reject_values(part.filter(~possible), metric, kind, dead)
        part = part.filter(possible)
        codes = {c: cells[c].router.metric_code(metric) for c in part["cell"].unique().to_list()}
        code = part["cell"].replace_strict(codes, return_dtype=pl.Int64)
        unknown = part.filter(code.is_null())
        for row, cell in unknown.select("row", "cell").iter_rows():
            router = cells[cell].router.router
            detail = f"router {router!r} has not declared the metric {metric!r}"
            dead.append(DeadLetter(row, REASON_METRIC, detail))
        fixed = to_fixed(kind, part["value"].to_numpy())
        part = part.with_columns(code.alias("code"), pl.Series("fixed", fixed, dtype=pl.Int64))
        frames.append(part.filter(code.is_not_null()).select("row", "code", "fixed"))
    schema: dict[str, Any] = {"row": pl.Int64, "code": pl.Int64, "fixed": pl.Int64}
    return pl.concat([pl.DataFrame(schema=schema), *frames])


def _reject_values(bad: pl.DataFrame, metric: str, kind: Kind, dead: list[DeadLetter]) -> None:
    for row, value in bad.select("row", "value").iter_rows():
        detail = f"{metric} = {value} is not within 0..{max_value(kind):g}"
        dead.append(DeadLetter(row, REASON_VALUE, detail))
