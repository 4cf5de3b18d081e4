"""Turns with what their outcomes said. Pure.

A turn and its outcomes are in one partition, so the join is by partition and turn id. The first
report of each metric stands, as in the fold; what the fold would refuse without a look at the
router's configuration counts for nothing.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from consumer.columns import MEASURED
from routefold.history.columns import JOINED, SAID, schema_of
from routefold.history.voids import without_voided
from schemas.metrics import BUILT_IN, SIGNALS, kind_of, max_value

_TURN: Final = ("partition", "turn_id")
_ENDED: Final = ("ok", "error", "timeout")
_FAILED: Final = ("error", "timeout", "cancelled")
# A call that failed took no time to answer.
_TIMES: Final = ("latency_ms", "ttft_ms")


def join(turns: pl.DataFrame, outcomes: pl.DataFrame) -> pl.DataFrame:
    """One row for each turn of `turns`, in their order; see routefold.history.columns.JOINED.

    Both must be sorted by partition and offset. Outcomes of turns that are not in `turns` are left
    out. A repeated turn has one row, that of its first record.
    """
    first = turns.filter(_possible_turn()).unique(_TURN, keep="first", maintain_order=True)
    said = _said(without_voided(outcomes.filter(_possible_outcome())))
    joined = first.join(said, on=_TURN, how="left", maintain_order="left", suffix="_said")
    return joined.with_columns(
        pl.coalesce("arm_served_said", "arm_served", "arm").alias("arm_served"),
        pl.col("outcomes").fill_null(0),
        *(pl.col(name).fill_null([]) for name in ("scores", "signals")),
    ).select(pl.col(name).cast(dtype) for name, dtype in schema_of(JOINED).items())


def _possible_turn() -> pl.Expr:
    chance = pl.col("probability")
    reacts = pl.col("reaction").list.len() > 0
    return (
        (chance > 0)
        & (chance <= 1)
        & pl.col("reaction").list.eval(pl.element().is_in(list(SIGNALS))).list.all()
        & ~(reacts & pl.col("session_id").is_null())
    )


def _possible_outcome() -> pl.Expr:
    """Outcomes that report something, and nothing impossible: one wrong value condemns them."""
    measured = [pl.col(name) for name in MEASURED]
    in_range = [
        pl.col(name).is_null() | pl.col(name).is_between(0, max_value(kind_of(name)))
        for name in MEASURED
    ]
    metric, value = (pl.element().struct.field(name) for name in ("metric", "value"))
    possible_score = value.is_between(0, 1) & ~metric.is_in(list(BUILT_IN))
    reports = pl.any_horizontal(
        pl.col("status") != "none",
        *(column.is_not_null() for column in measured),
        *(pl.col(name).list.len() > 0 for name in ("scores", "signals")),
        pl.col("voids").is_not_null(),
    )
    return pl.all_horizontal(
        reports,
        *in_range,
        pl.col("scores").list.eval(possible_score).list.all(),
        pl.col("signals").list.eval(pl.element().is_in(list(SIGNALS))).list.all(),
    )


def _said(outcomes: pl.DataFrame) -> pl.DataFrame:
    """What all outcomes of a turn say, a row for each turn that has any."""
    status = pl.col("status")
    ended = status.filter(status.is_in(_ENDED)).first()
    cancelled = status.filter(status == "cancelled").first()
    said = outcomes.group_by(_TURN).agg(
        pl.col("arm_served").drop_nulls().first().alias("arm_served_said"),
        pl.coalesce(ended, cancelled).alias("status"),
        pl.col("status_code").drop_nulls().first(),
        *(_first(name) for name in MEASURED),
        pl.col("outcome_id").n_unique().alias("outcomes"),
        pl.col("occurred_at").max().alias("last_outcome_at"),
    )
    for name, values in (("scores", _scores(outcomes)), ("signals", _signals(outcomes))):
        assert name in schema_of(SAID)
        said = said.join(values, on=_TURN, how="left")
    return said


def _first(metric: str) -> pl.Expr:
    reported = pl.col(metric)
    if metric in _TIMES:
        reported = reported.filter(~pl.col("status").is_in(_FAILED))
    return reported.drop_nulls().first().alias(metric)


def _scores(outcomes: pl.DataFrame) -> pl.DataFrame:
    scores = outcomes.select(*_TURN, "scores").filter(pl.col("scores").list.len() > 0)
    metric = pl.col("scores").struct.field("metric")
    return (
        scores.explode("scores")
        .with_columns(metric.alias("metric"))
        .unique([*_TURN, "metric"], keep="first", maintain_order=True)
        .group_by(_TURN)
        .agg("scores")
    )


def _signals(outcomes: pl.DataFrame) -> pl.DataFrame:
    signals = outcomes.select(*_TURN, "signals").filter(pl.col("signals").list.len() > 0)
    return (
        signals.explode("signals")
        .unique([*_TURN, "signals"], keep="first", maintain_order=True)
        .group_by(_TURN)
        .agg("signals")
    )
