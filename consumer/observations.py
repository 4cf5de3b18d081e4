"""Columns to observations: each metric's values as (row, code, fixed-point integer).

What a value may be is decided here; an impossible one condemns its whole event, so that an event is
either folded as it is or kept for repair, never half.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from consumer.records import DeadLetter
from consumer.routers import KnownRouter
from schemas.metrics import BUILT_IN, Kind, max_value, to_fixed

REASON_METRIC: Final = "unknown_metric"
REASON_VALUE: Final = "impossible_value"
REASON_EMPTY: Final = "empty_outcome"
REASON_UNSUPPORTED: Final = "unsupported"

_TIMES: Final = ("latency_ms", "ttft_ms")
_MEASURED: Final = (*_TIMES, "tokens_in", "tokens_out", "cost_usd")

Rows = NDArray[np.int64]


class Observations(NamedTuple):
    """Parallel arrays: an event's place in the batch, its metric's code, the value."""

    row: Rows
    code: NDArray[np.int64]
    fixed: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All parts in log order; within an event in the order of the parts."""
        row, code, fixed = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        order = np.argsort(row, kind="stable")
        return cls(row[order], code[order], fixed[order])

    def without(self, rows: Sequence[int]) -> Observations:
        """These observations but for those of some events."""
        if not rows:
            return self
        keep = ~np.isin(self.row, rows)
        return Observations(self.row[keep], self.code[keep], self.fixed[keep])


def observe_turns(turns: pl.DataFrame, dead: list[DeadLetter]) -> list[Observations]:
    """Each turn observes that its arm was picked, with the logged probability."""
    rows, probability = turns["row"].to_numpy(), turns["probability"].to_numpy()
    reacting = (turns["reaction"].list.len() > 0).to_numpy()
    dead += _letters(rows[reacting], REASON_UNSUPPORTED, "reaction needs a newer consumer")
    zero = probability == 0.0
    dead += _letters(rows[zero], REASON_VALUE, "probability 0: what can't be picked was not")
    return [_built_in("picked", rows, probability, dead)]


def observe_outcomes(
    outcomes: pl.DataFrame, routers: Sequence[KnownRouter | None], dead: list[DeadLetter]
) -> list[Observations]:
    """What the outcomes report. `routers` gives the router of each row of the batch, if known."""
    rows = outcomes["row"].to_numpy()
    # one query for all columns: polars has a price per query, and most batches are small
    read = outcomes.select(
        ok=pl.col("status") == "ok",
        failed=pl.col("status").is_in(["error", "timeout"]),
        cancelled=pl.col("status") == "cancelled",
        scored=pl.col("scores").list.len().fill_null(0) > 0,
        newer=(pl.col("signals").list.len().fill_null(0) > 0) | pl.col("voids").is_not_null(),
        **{f"has_{metric}": pl.col(metric).is_not_null() for metric in _MEASURED},
        **{metric: pl.col(metric).cast(pl.Float64) for metric in _MEASURED},
    )
    column = {name: read[name].to_numpy() for name in read.columns}
    ok, failed, cancelled = column["ok"], column["failed"], column["cancelled"]
    ended = ok | failed
    parts = [
        _built_in("success", rows[ended], ok[ended].astype(np.float64), dead),
        _built_in("error", rows[failed], np.zeros(failed.sum()), dead),
        _built_in("cancelled", rows[cancelled], np.ones(cancelled.sum()), dead),
    ]
    reported = ended | cancelled | column["scored"]
    for metric in _MEASURED:
        given = column[f"has_{metric}"]
        reported = reported | given
        # A call that failed took no time to answer: its time is the time-out's, not the arm's.
        used = given & ~failed & ~cancelled if metric in _TIMES else given
        parts.append(_built_in(metric, rows[used], column[metric][used], dead))
    parts += _scores(outcomes, column["scored"], routers, dead)
    dead += _letters(rows[~reported], REASON_EMPTY, "the outcome reports nothing")
    what = "signals and voids need a newer consumer"
    dead += _letters(rows[column["newer"]], REASON_UNSUPPORTED, what)
    return parts


def _built_in(
    metric: str, rows: Rows, values: NDArray[np.float64], dead: list[DeadLetter]
) -> Observations:
    code, kind = BUILT_IN[metric]
    possible = _possible(metric, kind, rows, values, dead)
    fixed = to_fixed(kind, values[possible])
    return Observations(rows[possible], np.full(len(fixed), code, dtype=np.int64), fixed)


def _scores(
    outcomes: pl.DataFrame,
    scored: NDArray[np.bool_],
    routers: Sequence[KnownRouter | None],
    dead: list[DeadLetter],
) -> list[Observations]:
    if not scored.any():
        return []
    scores = outcomes.filter(scored).select("row", "scores").explode("scores").unnest("scores")
    all_rows, all_values = scores["row"].to_numpy(), scores["value"].to_numpy()
    metrics = np.array(scores["metric"].to_list(), dtype=object)
    parts: list[Observations] = []
    for metric in dict.fromkeys(metrics):
        mine = np.flatnonzero(metrics == metric)
        rows, values = all_rows[mine], all_values[mine]
        possible = _possible(metric, Kind.SCORE, rows, values, dead)
        rows, values = rows[possible], values[possible]
        codes = _codes(metric, [routers[row] for row in rows.tolist()])
        known = codes >= 0
        dead += _letters(rows[~known], REASON_METRIC, f"metric {metric!r} has not been declared")
        fixed = to_fixed(Kind.SCORE, values[known])
        parts.append(Observations(rows[known], codes[known], fixed))
    return parts


def _codes(metric: str, routers: Sequence[KnownRouter | None]) -> NDArray[np.int64]:
    """The metric's code for each router; -1 where it may not be scored."""
    if metric in BUILT_IN:
        return np.full(len(routers), -1, dtype=np.int64)
    code_of: dict[int, int] = {}
    for router in routers:
        if id(router) not in code_of:
            code = router.metric_code(metric) if router else None
            code_of[id(router)] = -1 if code is None else code
    return np.array([code_of[id(router)] for router in routers], dtype=np.int64)


def _possible(
    metric: str, kind: Kind, rows: Rows, values: NDArray[np.float64], dead: list[DeadLetter]
) -> NDArray[np.bool_]:
    possible = (values >= 0) & (values <= max_value(kind))  # false for NaN
    for row, value in zip(rows[~possible].tolist(), values[~possible].tolist(), strict=True):
        detail = f"{metric} = {value} is not within 0..{max_value(kind):g}"
        dead.append(DeadLetter(row, REASON_VALUE, detail))
    return np.asarray(possible)


def _letters(rows: Rows, reason: str, detail: str) -> list[DeadLetter]:
    return [DeadLetter(row, reason, detail) for row in rows.tolist()]
