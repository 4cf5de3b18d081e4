"""Which turns the belief in an arm rests on, and how far each of them moved it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nlargest
from uuid import UUID

import numpy as np
import polars as pl

from router_api.routing.beliefs import pooled
from router_api.routing.state import Reading
from schemas.evidence import SeriesKey, Sums, era, weight
from schemas.metrics import SCORE_ONE, SIGNALS, Kind, to_fixed
from schemas.posterior import BetaPosterior, metrics_at
from schemas.router_config import RouterConfig


@dataclass(frozen=True, slots=True)
class Moved:
    """How far one turn moved the mean of an arm's quality: with it, less without it.

    `observed` is {metric: value, 0..1} of what counts in the reward; `weighs` how much of an
    observation made just now it still is.
    """

    turn_id: UUID
    at_ms: int
    observed: Mapping[str, float]
    weighs: float
    by: float


def observations(
    joined: pl.DataFrame, reactions: pl.DataFrame, served: Collection[str]
) -> pl.DataFrame:
    """What was observed of the turns that these deployments served: turn_id, at_ms, arm, metric,
    value.

    `joined` and `reactions` are tables of routefold.history that end where the state does. Facts
    that the fold has refused for their router's configuration may be among them.
    """
    turns = joined.filter(pl.col("arm_served").is_in(list(served))).select(
        "turn_id",
        "status",
        "scores",
        "signals",
        at_ms=pl.col("occurred_at").dt.epoch("ms"),
        arm="arm_served",
    )
    place = ("turn_id", "at_ms", "arm")
    scores = (
        turns.select(*place, score="scores")
        .explode("score")
        .drop_nulls("score")
        .select(*place, pl.col("score").struct.unnest())
    )
    ended = turns.filter(pl.col("status").is_in(["ok", "error", "timeout"]))
    success = ended.select(
        *place,
        metric=pl.lit("success"),
        value=(pl.col("status") == "ok").cast(pl.Float64),
    )
    error = ended.filter(pl.col("status") != "ok").select(
        *place, metric=pl.lit("error"), value=pl.lit(0.0)
    )
    heard = pl.concat(
        [
            turns.select(*place, metric="signals").explode("metric").drop_nulls(),
            turns.select(*place).join(
                reactions.select("turn_id", metric="signal"), on="turn_id", how="inner"
            ),
        ]
    ).unique(["turn_id", "metric"], maintain_order=True)
    signals = heard.with_columns(
        value=pl.col("metric").replace_strict(SIGNALS, default=0.0, return_dtype=pl.Float64)
    )
    return pl.concat([scores, success, error, signals])


def strongest(
    observed: pl.DataFrame,
    config: RouterConfig,
    deployments: Sequence[str],
    quality: BetaPosterior,
    reading: Reading,
    count: int,
) -> list[Moved]:
    """The `count` turns that moved the mean of an arm's quality most; the latest among equals.

    `observed` as `observations` has it for the deployments of the arm, `quality` the belief that
    follows from `reading`.
    """
    metrics = pooled([reading.metrics.get(name, {}) for name in deployments], config.rewards)
    rewards = {m: r for m, r in config.rewards.items() if r > 0.0 and m in metrics}
    series = _series(reading, deployments, rewards)
    total = quality.observations
    scale = min(1.0, config.max_evidence_mass / total) if total > 0.0 else 1.0
    moved = []
    for turn_id, at_ms, arm, values in _by_turn(observed, series):
        good = mass = weighs = 0.0
        for metric, value in values.items():
            evidence = _evidence(series[arm, metric], at_ms, value)
            seen = metrics_at(evidence, reading.as_of_ms, reading.seen_ms)[arm][metric]
            part = seen.fast.scaled(seen.fast_left) if metrics[metric].drifted else seen.ruling
            weighs = part.n
            mass += scale * rewards[metric] * part.n
            good += scale * rewards[metric] * part.s1 / SCORE_ONE
        moved.append(Moved(UUID(turn_id), at_ms, values, weighs, _moved(quality, good, mass)))
    return nlargest(count, moved, key=lambda each: (abs(each.by), each.at_ms))


Series = Mapping[tuple[str, str], Collection[SeriesKey]]


def _series(reading: Reading, arms: Collection[str], metrics: Collection[str]) -> Series:
    """By (arm, metric): one key of each series that is kept of it."""
    found: dict[tuple[str, str], dict[tuple[str, int], SeriesKey]] = {}
    for key in reading.evidence:
        if key.arm in arms and key.metric in metrics:
            its_series = found.setdefault((key.arm, key.metric), {})
            its_series[key.pace, key.half_life_ms] = key
    return {place: list(its_series.values()) for place, its_series in found.items()}


def _by_turn(
    observed: pl.DataFrame, series: Series
) -> Iterator[tuple[str, int, str, dict[str, float]]]:
    grouped = observed.group_by("turn_id", maintain_order=True).agg(
        pl.col("at_ms").first(), pl.col("arm").first(), "metric", "value"
    )
    for turn_id, at_ms, arm, metrics, values in grouped.iter_rows():
        pairs = zip(metrics, values, strict=True)
        counting = {metric: value for metric, value in pairs if (arm, metric) in series}
        if counting:
            yield turn_id, at_ms, arm, counting


def _evidence(series: Collection[SeriesKey], at_ms: int, value: float) -> dict[SeriesKey, Sums]:
    """The rows that one observation alone would be."""
    fixed = int(to_fixed(Kind.SCORE, np.array([value]))[0])
    rows = {}
    for key in series:
        unit = weight(at_ms, key.half_life_ms)
        row = key._replace(era=era(at_ms, key.half_life_ms))
        rows[row] = Sums(unit, unit * fixed, unit * fixed * fixed)
    return rows


def _moved(quality: BetaPosterior, good: float, mass: float) -> float:
    """The mean less what it would be without so much of the evidence."""
    left = quality.alpha + quality.beta - mass
    return quality.mean - (quality.alpha - good) / left
