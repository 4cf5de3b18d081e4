"""What the signals are worth: reward weights fitted to conversations whose success is known.

The score of a session after k turns is what the fold can add up, turn by turn:

    score = Σ weight of each favourable signal − Σ weight of each other signal,   weights ≥ 0

A long conversation is one that did not succeed early, so whole conversations would teach the
weights to count turns. Everything here compares conversations of one source that go on after the
same turn. Pure and deterministic: the same conversations and seed give the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from producer.calibration_fit import (
    CHECKPOINTS,
    SIGNALS,
    Evidence,
    area_at_turns,
    fit,
    held_out_scores,
)
from producer.signal_rules.exchange import answer_starts
from producer.signal_rules.names import FAVOURABLE, Signal
from producer.signals import detect

__all__ = [
    "CHECKPOINTS",
    "Calibration",
    "Observed",
    "SignalWorth",
    "calibrate",
    "cross_validated_areas",
    "evidence_of",
    "observe",
    "score",
    "tasks_of",
]

FOLDS: Final = 5
# One deal of 120 conversations into folds moves an area by 0.02.
DEALS: Final = 5
# Percentiles of 200 resamples settle the ends of a 95 % interval to about a twentieth of its width.
RESAMPLES: Final = 200
_INTERVAL_PERCENT: Final = (2.5, 97.5)

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Observed:
    """A conversation without its text: the signals about each of its turns, and how it ended.

    ``source`` names where it comes from; success rates of different sources are not compared.
    ``group`` names the task; conversations about one task are never on both sides of a test.
    """

    turns: tuple[frozenset[Signal], ...]
    success: bool
    source: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class SignalWorth:
    """How often a signal fires and what it says.

    ``success_with`` is the share of successes where it has fired, ``success_without`` that of the
    conversations of the same source and the same turn where it has not; None where there are none.
    ``weight`` ≥ 0 has the 95 % bootstrap interval ``low``..``high``; a signal that never fired has
    the weight it had before any data, and no interval.
    """

    signal: Signal
    turns: int
    conversations: int
    success_with: float | None
    success_without: float | None
    weight: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """Fitted weights, and how well the score tells successes from failures in unseen tasks.

    ``area`` is the cross-validated area under the ROC curve by source, averaged over
    ``CHECKPOINTS``; None where a source has too few conversations of either kind.
    """

    signals: tuple[SignalWorth, ...]
    area: Mapping[str, float | None]
    conversations: int

    @property
    def weights(self) -> dict[Signal, float]:
        return {worth.signal: worth.weight for worth in self.signals}


def observe(
    messages: Sequence[Mapping[str, object]], success: bool, source: str = "", group: str = ""
) -> Observed:
    """Read a whole conversation as a router would have, one request after each turn, and keep what
    the fold would have counted: satisfaction once, and not for the first answer."""
    starts = answer_starts(messages)
    ends = [*starts[1:], len(messages)] if starts else []
    turns = [frozenset(detect(messages[:end])) for end in ends]
    satisfied = [number for number, turn in enumerate(turns) if Signal.SATISFACTION in turn]
    counted = next((number for number in satisfied if number > 0), None)
    for number in satisfied:
        if number != counted:
            turns[number] -= {Signal.SATISFACTION}
    return Observed(tuple(turns), success, source, group)


def score(turns: Sequence[frozenset[Signal]], weights: Mapping[Signal, float]) -> float:
    """The score of a session's turns so far; signals without a weight count nothing."""
    return math.fsum(  # exact, so the order within a set doesn't matter
        weights.get(signal, 0.0) * (1 if signal in FAVOURABLE else -1)
        for turn in turns
        for signal in turn
    )


def calibrate(
    conversations: Sequence[Observed],
    *,
    seed: int = 0,
    folds: int = FOLDS,
    resamples: int = RESAMPLES,
) -> Calibration:
    """Fit the weights; say how sure they are and how well they predict.

    Raises ValueError for fewer than two tasks, folds or resamples, and where success and failure
    never stand side by side (one source, after the same turn).
    """
    evidence = evidence_of(conversations)
    tasks = tasks_of(conversations)
    if min(int(tasks.max()) + 1, folds, resamples) < 2:
        raise ValueError(
            "calibration needs at least two tasks, folds and resamples, "
            f"got {tasks.max() + 1} tasks, {folds} folds, {resamples} resamples"
        )
    rng = np.random.default_rng(seed)
    weights = fit(evidence)
    low, high = _interval(evidence, tasks, rng, resamples)
    sources = [conversation.source for conversation in conversations]
    return Calibration(
        signals=tuple(
            _worth(evidence, conversations, position, weights, low, high)
            for position in range(len(SIGNALS))
        ),
        area=cross_validated_areas(evidence, tasks, sources, rng, folds),
        conversations=len(conversations),
    )


def evidence_of(conversations: Sequence[Observed]) -> Evidence:
    """Raises ValueError where success and failure never stand side by side."""
    return Evidence.of(
        [conversation.turns for conversation in conversations],
        [conversation.success for conversation in conversations],
        [conversation.source for conversation in conversations],
    )


def tasks_of(conversations: Sequence[Observed]) -> NDArray[np.intp]:
    """The number of each conversation's task; without a group each is a task of its own."""
    names = [
        (conversation.source, conversation.group) if conversation.group else position
        for position, conversation in enumerate(conversations)
    ]
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], dtype=np.intp)


def cross_validated_areas(
    evidence: Evidence,
    tasks: NDArray[np.intp],
    sources: Sequence[str],
    rng: np.random.Generator,
    folds: int = FOLDS,
) -> dict[str, float | None]:
    """Area by source for weights fitted to other tasks, averaged over ``DEALS`` deals."""
    by_source: dict[str, list[float | None]] = {source: [] for source in sorted(set(sources))}
    for _ in range(DEALS):
        fold_of = (rng.permutation(tasks.max() + 1) % folds)[tasks]
        scores = held_out_scores(evidence, fold_of)
        for source, areas in by_source.items():
            rows = np.array([name == source for name in sources])
            areas.append(area_at_turns(scores[rows], evidence.success[rows], fold_of[rows]))
    return {source: _mean(areas) for source, areas in by_source.items()}


def _mean(areas: Sequence[float | None]) -> float | None:
    known = [area for area in areas if area is not None]
    return math.fsum(known) / len(known) if known else None


def _interval(
    evidence: Evidence, tasks: NDArray[np.intp], rng: np.random.Generator, resamples: int
) -> tuple[Floats, Floats]:
    """Percentiles of the weights over resampled tasks (Efron's bootstrap, by cluster)."""
    count = tasks.max() + 1
    fitted = [
        fit(evidence, np.bincount(rng.integers(count, size=count), minlength=count)[tasks])
        for _ in range(resamples)
    ]
    low, high = np.percentile(fitted, _INTERVAL_PERCENT, axis=0)
    return low, high


def _worth(
    evidence: Evidence,
    conversations: Sequence[Observed],
    position: int,
    weights: Floats,
    low: Floats,
    high: Floats,
) -> SignalWorth:
    signal = SIGNALS[position]
    fired = [sum(signal in turn for turn in conversation.turns) for conversation in conversations]
    success_with, success_without = evidence.success_by(position)
    return SignalWorth(
        signal=signal,
        turns=sum(fired),
        conversations=sum(map(bool, fired)),
        success_with=success_with,
        success_without=success_without,
        weight=float(weights[position]),
        low=float(low[position]) if any(fired) else None,
        high=float(high[position]) if any(fired) else None,
    )
