"""What can be asked of a policy: one number for each turn that has it. Pure, on polars columns."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import polars as pl

from schemas.metrics import SIGNALS

REWARD: Final = "reward"
SUCCESS: Final = "success"
MEASURED: Final = ("cost_usd", "latency_ms", "ttft_ms", "tokens_in", "tokens_out")
# Told without being asked for, where the log has them.
USUAL: Final = (REWARD, "cost_usd", "latency_ms")

MEANINGS: Final[Mapping[str, str]] = {
    REWARD: "mean of what the turn's outcomes said, by the router's reward weights",
    SUCCESS: "share of calls that ended ok",
    "cost_usd": "mean cost of a turn",
    "latency_ms": "mean time of an answer",
    "ttft_ms": "mean time to the first token",
    "tokens_in": "mean tokens of a request",
    "tokens_out": "mean tokens of an answer",
}


def names(rewards: Mapping[str, float]) -> list[str]:
    """Every metric that can be asked for of a router with these rewards."""
    declared = [name for name in rewards if name not in SIGNALS and name not in (SUCCESS, "error")]
    return [REWARD, *declared, SUCCESS, *MEASURED, *SIGNALS]


def meaning(metric: str) -> str:
    """What the number is, in words."""
    if metric in SIGNALS:
        return f"share of turns with the signal {metric}"
    return MEANINGS.get(metric, f"mean score of {metric}")


def value_of(
    metric: str, turns: pl.DataFrame, signals: pl.DataFrame, rewards: Mapping[str, float]
) -> pl.Series:
    """One number for each row of `turns` (the table `joined`); null where the turn has none.

    `signals` has the columns turn_id and signal: what outcomes and later turns said about a turn.
    """
    if metric == REWARD:
        return _reward(turns, signals, rewards)
    if metric == SUCCESS:
        return turns.select(_success())[SUCCESS]
    if metric in MEASURED:
        return turns[metric].cast(pl.Float64)
    if metric in SIGNALS:
        fired = signals.filter(pl.col("signal") == metric)["turn_id"].unique().implode()
        return turns.select(pl.col("turn_id").is_in(fired).cast(pl.Float64))["turn_id"]
    return _score(turns, metric)


def _success() -> pl.Expr:
    ended = pl.col("status").is_in(["ok", "error", "timeout"])
    return pl.when(ended).then((pl.col("status") == "ok").cast(pl.Float64)).alias(SUCCESS)


def _score(turns: pl.DataFrame, metric: str) -> pl.Series:
    entry = pl.element()
    found = pl.col("scores").list.eval(
        entry.filter(entry.struct.field("metric") == metric).struct.field("value")
    )
    return turns.select(found.list.first().alias(metric))[metric]


def _reward(turns: pl.DataFrame, signals: pl.DataFrame, rewards: Mapping[str, float]) -> pl.Series:
    """Mean of a turn's rewarded observations, each by its weight: what the turn alone would make of
    a posterior without a prior."""
    columns: dict[str, pl.Series] = {}
    for metric, weight in rewards.items():
        if weight <= 0.0:
            continue
        if metric in SIGNALS:
            fired = value_of(metric, turns, signals, rewards)
            columns[metric] = fired.replace_strict({1.0: SIGNALS[metric], 0.0: None})
        elif metric == SUCCESS:
            columns[metric] = value_of(metric, turns, signals, rewards)
        elif metric == "error":
            failed = turns["status"].is_in(["error", "timeout"])
            columns[metric] = pl.select(pl.when(failed).then(0.0)).to_series()
        else:
            columns[metric] = _score(turns, metric)
    if not columns:
        return pl.Series(REWARD, [None] * len(turns), dtype=pl.Float64)
    table = pl.DataFrame({name: column.cast(pl.Float64) for name, column in columns.items()})
    weighted = pl.sum_horizontal(rewards[name] * pl.col(name) for name in columns)
    mass = pl.sum_horizontal(rewards[name] * pl.col(name).is_not_null() for name in columns)
    return table.select(pl.when(mass > 0).then(weighted / mass).alias(REWARD))[REWARD]


def unknown(metrics: Collection[str], rewards: Mapping[str, float]) -> str | None:
    """The first of `metrics` that can't be asked for; None if all can."""
    return next((metric for metric in metrics if metric not in names(rewards)), None)
