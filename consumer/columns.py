"""Turns and outcomes as columns: what the fold reads of them, one entry an event, in log order.

They come from a frame of polars, or from records that were decoded one by one. Polars only hands
over its columns: each query of it goes through a pool of threads, which costs 3.6 ms on a busy
machine, and most batches of a live log are small. In large ones queries are worth it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

# The fields that the fold reads, as polars reads them from Avro.
_EVENT: Final[dict[str, pl.DataType]] = {
    "turn_id": pl.Binary(),
    "session_id": pl.String(),
    "router": pl.String(),
    "request_type": pl.String(),
    "arm": pl.String(),
    "arm_served": pl.String(),
    "occurred_at": pl.Int64(),
}
MEASURED: Final[dict[str, pl.DataType]] = {
    "latency_ms": pl.Float64(),
    "ttft_ms": pl.Float64(),
    "tokens_in": pl.Int64(),
    "tokens_out": pl.Int64(),
    "cost_usd": pl.Float64(),
}
TURN: Final[dict[str, pl.DataType]] = {
    **_EVENT,
    "probability": pl.Float64(),
    "previous_turn_id": pl.Binary(),
    "reaction": pl.List(pl.String()),
}
OUTCOME: Final[dict[str, pl.DataType]] = {
    **_EVENT,
    "outcome_id": pl.Binary(),
    "status": pl.String(),
    **MEASURED,
    "scores": pl.List(pl.Struct({"metric": pl.String(), "value": pl.Float64()})),
    "signals": pl.List(pl.String()),
    "voids": pl.Binary(),
}
# From so many rows on, queries cost less than what they save.
MANY_ROWS: Final = 2_000
# So many numbers are told apart in a table; beyond, a log of random names would cost memory.
_SMALL: Final = 1 << 16

Index = NDArray[np.int64]


class Address(NamedTuple):
    """Where an event says that it belongs."""

    router: str
    request_type: str
    arm: str
    arm_served: str | None


@dataclass(frozen=True, slots=True)
class Events:
    """What turns and outcomes have in common."""

    row: Index  # the place in the batch, ascending
    turn_id: Sequence[bytes]
    session_id: Sequence[str | None]
    address: Index  # index into `addresses`
    addresses: Sequence[Address]  # each once
    occurred_at: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Turns(Events):
    """The turns of a block."""

    probability: NDArray[np.float64]
    previous_turn_id: Sequence[bytes | None]
    reaction: Sequence[Sequence[str]]


class Measure(NamedTuple):
    """A number that outcomes may give. Where it is not given the value means nothing."""

    given: NDArray[np.bool_]
    value: NDArray[np.float64]


class Scores(NamedTuple):
    """All scores, in the order of their outcomes; several of an outcome in the order it has."""

    place: Index  # of the outcome in its block
    metric: Index  # index into `metrics`
    metrics: Sequence[str]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcomes(Events):
    """The outcomes of a block."""

    outcome_id: Sequence[bytes]
    status: Sequence[str]
    measured: Mapping[str, Measure]
    scores: Scores
    signals: Sequence[Sequence[str]]
    voids: list[bytes | None]


def turns_of(rows: Sequence[int] | Index, frame: pl.DataFrame) -> Turns:
    """The turns of a frame with columns of `TURN`; one that it lacks is null."""
    return Turns(
        **_common(rows, frame),
        probability=frame["probability"].to_numpy(),
        previous_turn_id=_values(frame, "previous_turn_id"),
        reaction=_lists(frame, "reaction"),
    )


def outcomes_of(rows: Sequence[int] | Index, frame: pl.DataFrame) -> Outcomes:
    """The outcomes of a frame with columns of `OUTCOME`; one that it lacks is null."""
    return Outcomes(
        **_common(rows, frame),
        outcome_id=frame["outcome_id"].to_list(),
        status=frame["status"].to_list(),
        measured={name: _measure(frame, name) for name in MEASURED},
        scores=_scores(frame),
        signals=_lists(frame, "signals"),
        voids=_values(frame, "voids"),
    )


def _common(rows: Sequence[int] | Index, frame: pl.DataFrame) -> dict[str, Any]:
    address, addresses = _addresses(frame)
    return {
        "row": np.array(rows, dtype=np.int64),
        "turn_id": frame["turn_id"].to_list(),
        "session_id": frame["session_id"].to_list(),
        "address": address,
        "addresses": addresses,
        "occurred_at": frame["occurred_at"].to_numpy(),
    }


def _values(frame: pl.DataFrame, name: str) -> list[Any]:
    return frame[name].to_list() if name in frame.columns else [None] * len(frame)


def _addresses(frame: pl.DataFrame) -> tuple[Index, list[Address]]:
    """For each row a number, and what each number stands for."""
    numbers = np.zeros(len(frame), dtype=np.int64)
    fields: list[Sequence[Any]] = []
    for name in Address._fields:
        values, is_same = _values_or_one(frame, name)
        fields.append(values)
        if not is_same:
            codes = dict(zip(dict.fromkeys(values), range(len(values)), strict=False))
            # at most 2^15 events: four columns of as many values stay below 2^60
            numbers = numbers * len(codes) + _looked_up(codes, values)
    first, address = _distinct(numbers)
    addresses = [
        Address(*(values[at] if len(values) > 1 else values[0] for values in fields))
        for at in first.tolist()
    ]
    return address, addresses


def _distinct(numbers: Index) -> tuple[Index, Index]:
    """Where each distinct number comes first, and for each number which of them it is."""
    top = int(numbers.max(initial=0)) + 1
    if top > _SMALL:
        _, first, which = np.unique(numbers, return_index=True, return_inverse=True)
        return first, which
    place = np.full(top, -1, dtype=np.int64)
    place[numbers[::-1]] = np.arange(len(numbers))[::-1]  # of several the one written last
    there = place >= 0
    return place[there], (np.cumsum(there) - 1)[numbers]


def _values_or_one(frame: pl.DataFrame, name: str) -> tuple[list[Any], bool]:
    """The values of a column; just one, and True, where all are the same."""
    if name not in frame.columns or (column := frame[name]).null_count() == len(frame):
        return [None], True
    if not column.null_count() and (column == column[0]).all():
        return [column[0]], True
    return column.to_list(), False


def _looked_up(codes: Mapping[Any, int], values: Sequence[Any]) -> Index:
    return np.fromiter(map(codes.__getitem__, values), dtype=np.int64, count=len(values))


def _measure(frame: pl.DataFrame, name: str) -> Measure:
    if name not in frame.columns or (nulls := (column := frame[name]).null_count()) == len(frame):
        return Measure(np.zeros(len(frame), dtype=np.bool_), np.zeros(len(frame)))
    given = np.ones(len(frame), dtype=np.bool_)
    if nulls:
        given[:] = [value is not None for value in column.to_list()]
    return Measure(given, column.to_numpy().astype(np.float64, copy=False))


def _lists(frame: pl.DataFrame, name: str) -> list[list[str]]:
    if name not in frame.columns:
        return [[]] * len(frame)
    column = frame[name]
    if len(column) < MANY_ROWS:
        return column.to_list()
    lengths = column.list.len()
    if lengths.sum() == 0:
        return [[]] * len(column)
    # what an empty list explodes to depends on the version of polars
    items = column.filter(lengths > 0).explode().to_list()
    ends = lengths.cum_sum().to_list()
    return [items[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _scores(frame: pl.DataFrame) -> Scores:
    column = frame["scores"]
    if len(column) < MANY_ROWS:
        listed: list[list[dict[str, Any]]] = column.to_list()
        lengths = np.fromiter(map(len, listed), dtype=np.int64, count=len(listed))
        names = [score["metric"] for scores in listed for score in scores]
        values = np.array([score["value"] for scores in listed for score in scores], dtype=float)
    else:
        counts = column.list.len()
        lengths = counts.to_numpy().astype(np.int64)
        items = column.filter(counts > 0).explode()
        names = items.struct.field("metric").to_list()
        values = items.struct.field("value").to_numpy()
    index = dict(zip(dict.fromkeys(names), range(len(names)), strict=False))
    return Scores(
        place=np.repeat(np.arange(len(lengths)), lengths),
        metric=_looked_up(index, names),
        metrics=list(index),
        value=values,
    )
