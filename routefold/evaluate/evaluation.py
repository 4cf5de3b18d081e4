"""A policy's value by every metric asked for, or why it can't be told. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from routefold.evaluate import metrics
from routefold.evaluate.direct_model import cross_fitted
from routefold.evaluate.estimators import (
    Estimate,
    Sample,
    doubly_robust,
    doubly_robust_gain,
    ips,
    mean_estimate,
    snips,
)
from routefold.evaluate.overlap import MAX_UNSEEN, Overlap, overlap
from routefold.evaluate.turns import NO_CHOICE, LoggedTurns


@dataclass(frozen=True, slots=True)
class Values:
    """The policy's value by each estimator; `logged` is what was earned in fact, `gain` the doubly
    robust difference to it."""

    logged: Estimate
    ips: Estimate
    snips: Estimate
    doubly_robust: Estimate
    gain: Estimate


@dataclass(frozen=True, slots=True)
class Answer:
    """One metric: `values`, or in `reasons` why they can't be told. `missing` turns have no such
    number, and count for nothing."""

    metric: str
    missing: int
    overlap: Overlap | None
    values: Values | None
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All answers, and which turns they rest on. `asked` is False for the usual metrics."""

    router: str
    asked: bool
    turns: int
    fell_back: int
    left_out: Mapping[str, int]
    answers: tuple[Answer, ...]

    @property
    def told(self) -> bool:
        """True where every metric that was asked for is told; of the usual ones, any."""
        told = [answer.values is not None for answer in self.answers]
        return bool(told) and (all(told) if self.asked else any(told))


def evaluate(
    router: str,
    logged: LoggedTurns,
    wanted: Sequence[str],
    signals: pl.DataFrame,
    rewards: Mapping[str, float],
) -> Evaluation:
    """The value of the policy by the metrics in `wanted`; by the usual ones that the turns have
    where that is empty. `signals` and `rewards` as in `metrics.value_of`."""
    columns = {
        metric: metrics.value_of(metric, logged.turns, signals, rewards)
        for metric in wanted or metrics.USUAL
    }
    if not wanted:
        columns = {name: values for name, values in columns.items() if values.is_not_null().any()}
    return Evaluation(
        router=router,
        asked=bool(wanted),
        turns=len(logged.turns),
        fell_back=logged.fell_back,
        left_out=logged.left_out,
        answers=tuple(_answer(metric, logged, values) for metric, values in columns.items()),
    )


def _answer(metric: str, logged: LoggedTurns, values: pl.Series) -> Answer:
    missing = values.null_count()
    sample = logged.valued(values)
    if sample is None:
        return Answer(metric, missing, None, None, ("no turn of the log has it",))
    covered = overlap(sample, logged.contexts, logged.arms, missing)
    reasons = (*_without_choice(logged), *covered.reasons)
    told = None if reasons else _values(sample)
    return Answer(metric, missing, covered, told, reasons)


def _without_choice(logged: LoggedTurns) -> list[str]:
    count = logged.left_out.get(NO_CHOICE, 0)
    if count <= MAX_UNSEEN * (count + len(logged.turns)):
        return []
    return [f"in {count:,} turns it picks none of the arms that were eligible"]


def _values(sample: Sample) -> Values:
    predicted = cross_fitted(sample)
    return Values(
        logged=mean_estimate(sample.value, sample.session),
        ips=ips(sample),
        snips=snips(sample),
        doubly_robust=doubly_robust(sample, predicted),
        gain=doubly_robust_gain(sample, predicted),
    )
