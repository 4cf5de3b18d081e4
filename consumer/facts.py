"""Columns to facts: which observations a batch brings, and which of its events can't be believed.

A fact is one metric of one turn. Facts are in log order. Validation is total: after it every fact
has a known cell, a value within its range, and a time that is not in the future.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from consumer.decode import Decoded
from consumer.observations import Observations, observe_outcomes, observe_turns
from consumer.records import Batch, DeadLetter
from consumer.routers import KnownRouter, Routers

REASON_TURN_ID: Final = "bad_turn_id"
REASON_ROUTER: Final = "unknown_router"
REASON_REQUEST_TYPE: Final = "unknown_request_type"
REASON_ARM: Final = "unknown_arm"
REASON_TIME: Final = "impossible_time"

# Clocks of honest machines differ by seconds; five minutes is a wrong clock or a wrong unit, and a
# time from the future would make everything after it look late.
FUTURE_TOLERANCE_MS: Final = 5 * 60 * 1000

_ADDRESS: Final = ("router", "request_type", "arm", "arm_served")


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
    events = _in_log_order(batch, decoded)
    rows = events["row"].to_numpy()
    ids = _split_ids(events["turn_id"])
    dead = list(decoded.dead)
    _reject_ids(events, ids, dead)
    _reject_times(events, ids, batch, dead)
    cell, cells = _resolve_cells(events, routers, dead)
    router_of_row: list[KnownRouter | None] = [None] * len(batch)
    for row, index in zip(rows.tolist(), cell.tolist(), strict=True):
        router_of_row[row] = cells[index].router if index >= 0 else None
    observed = Observations.joined(
        [
            *observe_turns(decoded.turns, dead),
            *observe_outcomes(decoded.outcomes, router_of_row, dead),
        ]
    )
    dead = _first_per_row(dead)
    bad = [letter.row for letter in dead]
    observed = observed.without(bad)
    keep = ~np.isin(rows, bad) if bad else np.ones(len(rows), dtype=np.bool_)
    ids = ids.take(keep)
    return Facts(
        events=Events(
            row=rows[keep],
            partition=events["partition"].to_numpy()[keep],
            turn_hi=ids.hi,
            turn_lo=ids.lo,
            turn_time_ms=ids.time_ms,
            occurred_at=events["occurred_at"].to_numpy()[keep],
            cell=cell[keep],
        ),
        cells=cells,
        event=np.searchsorted(rows[keep], observed.row),
        code=observed.code,
        fixed=observed.fixed,
        dead=dead,
    )


def _in_log_order(batch: Batch, decoded: Decoded) -> pl.DataFrame:
    """Turns and outcomes together: where they point, and when they were."""
    turns = decoded.turns.with_columns(
        pl.lit(None, pl.String).alias("arm_served"), pl.lit(True).alias("is_turn")
    )
    outcomes = decoded.outcomes.with_columns(pl.lit(False).alias("is_turn"))
    columns = ("row", "turn_id", *_ADDRESS, "occurred_at", "is_turn")
    events = pl.concat([frame.select(columns) for frame in (turns, outcomes)]).sort("row")
    partition = batch.partition[events["row"].to_numpy()]
    return events.with_columns(pl.Series("partition", partition, dtype=pl.Int64))


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
) -> tuple[NDArray[np.int64], list[Cell]]:
    """Each event's cell as an index into the returned list; -1 where there is none."""
    address = ["partition", *_ADDRESS]
    distinct = events.select(address).unique(maintain_order=True).with_row_index("address")
    cells: list[Cell] = []
    index: list[int] = []
    faults: list[tuple[str, str] | None] = []
    for _, partition, router, request_type, arm, arm_served in distinct.iter_rows():
        known = routers.get((partition, router))
        fault = _address_fault(known, router, request_type, arm, arm_served)
        faults.append(fault)
        index.append(-1 if fault else len(cells))
        if not fault:
            assert known is not None
            cells.append(Cell(partition, known, request_type, arm_served or arm))
    joined = events.join(distinct, on=address, how="left", nulls_equal=True, maintain_order="left")
    at = joined["address"].to_numpy()
    cell = np.array(index, dtype=np.int64)[at]
    rows = events["row"].to_numpy()
    for place in np.flatnonzero(cell < 0).tolist():
        reason, detail = faults[at[place]] or ("", "")
        dead.append(DeadLetter(int(rows[place]), reason, detail))
    return cell, cells


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
