"""Columns to observations: each metric's values as (row, code, fixed-point integer).

What a value may be is decided here; an impossible one condemns its whole event, so that an event is
either folded as it is or kept for repair, never half.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from consumer.columns import Outcomes, Turns
from consumer.ragged import stable_order
from consumer.records import DeadLetter
from consumer.routers import KnownRouter
from schemas.metrics import BUILT_IN, MAX_RATE, SIGNALS, Kind, max_value, to_fixed

REASON_METRIC: Final = "unknown_metric"
REASON_VALUE: Final = "impossible_value"
REASON_EMPTY: Final = "empty_outcome"

_TIMES: Final = ("latency_ms", "ttft_ms")
_OK: Final = 1
_FAILED: Final = 2
_CANCELLED: Final = 3
_STATUSES: Final = {
    "none": 0,
    "ok": _OK,
    "error": _FAILED,
    "timeout": _FAILED,
    "cancelled": _CANCELLED,
}
_NOT_DECLARED: Final = -1

Rows = NDArray[np.int64]


class Observations(NamedTuple):
    """Parallel arrays: an event's place in the batch, its metric's code, the value."""

    row: Rows
    code: NDArray[np.int64]
    fixed: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All parts in log order; within an event in the order of the parts."""
        nothing = (np.empty(0, dtype=np.int64),) * 3
        columns = zip(nothing, *parts, strict=True)
        row, code, fixed = (np.concatenate(arrays) for arrays in columns)
        order = stable_order(row, int(row.max(initial=0)) + 1)
        return cls(row[order], code[order], fixed[order])

    def without(self, rows: Sequence[int]) -> Observations:
        """These observations but for those of some events."""
        if not rows:
            return self
        keep = ~np.isin(self.row, rows)
        return Observations(self.row[keep], self.code[keep], self.fixed[keep])


def observe_turns(turns: Turns, dead: list[DeadLetter]) -> list[Observations]:
    """Each turn observes that its arm was picked, with the logged probability."""
    if any(turns.reaction):
        for row, session_id, reaction in zip(
            turns.row.tolist(), turns.session_id, turns.reaction, strict=True
        ):
            dead += _unknown_signals(row, reaction)
            if reaction and session_id is None:
                detail = "a reaction, but no session it belongs to"
                dead.append(DeadLetter(row, REASON_VALUE, detail))
    zero = turns.row[turns.probability == 0.0]
    dead += _letters(zero, REASON_VALUE, "probability 0: what can't be picked was not")
    return [_built_in("picked", turns.row, turns.probability, dead)]


def observe_outcomes(
    outcomes: Outcomes, cell: Rows, routers: Sequence[KnownRouter], dead: list[DeadLetter]
) -> list[Observations]:
    """What the outcomes report. `cell` is the index of each one's cell, -1 where it has none;
    `routers` are those of the cells."""
    rows = outcomes.row
    status = np.fromiter(map(_STATUSES.__getitem__, outcomes.status), np.int8, len(outcomes))
    ok, cancelled, failed = status == _OK, status == _CANCELLED, status == _FAILED
    ended = ok | failed
    fell_back = _flags(at.arm_served is not None for at in outcomes.addresses)[outcomes.address]
    as_picked, in_place = ended & ~fell_back, ended & fell_back
    parts = [
        _built_in("health", rows[as_picked], ok[as_picked].astype(np.float64), dead),
        _built_in("uptime", rows[as_picked], ok[as_picked].astype(np.float64), dead),
        _built_in("fallback_health", rows[in_place], ok[in_place].astype(np.float64), dead),
        _built_in("success", rows[ended], ok[ended].astype(np.float64), dead),
        _built_in("error", rows[failed], np.zeros(failed.sum()), dead),
        _built_in("cancelled", rows[cancelled], np.ones(cancelled.sum()), dead),
    ]
    reported = ended | cancelled
    reported[outcomes.scores.place] = True
    for metric, (given, value) in outcomes.measured.items():
        reported |= given
        # A call that failed took no time to answer: its time is the time-out's, not the arm's.
        used = given & ~failed & ~cancelled if metric in _TIMES else given
        parts.append(_built_in(metric, rows[used], value[used], dead))
    parts.append(_tokens_per_s(outcomes, ok, dead))
    parts += _scores(outcomes, cell, routers, dead)
    parts += _signals(outcomes, cell, routers, dead)
    reported |= _flags(map(bool, outcomes.signals))
    voiding = np.zeros(len(outcomes), dtype=np.bool_)
    if outcomes.voids.count(None) < len(outcomes):
        voiding = _flags(voids is not None for voids in outcomes.voids)
    dead += _letters(rows[~reported & ~voiding], REASON_EMPTY, "the outcome reports nothing")
    if voiding.any():
        own = zip(outcomes.voids, outcomes.outcome_id, strict=True)
        itself = _flags(voids == outcome_id for voids, outcome_id in own)
        dead += _letters(rows[itself], REASON_VALUE, "an outcome can't void itself")
    return parts


def _tokens_per_s(
    outcomes: Outcomes, ok: NDArray[np.bool_], dead: list[DeadLetter]
) -> Observations:
    """Speed of the answer itself: from its first token on, where that is known."""
    tokens, whole, first = (
        np.where(*outcomes.measured[name], np.nan)
        for name in ("tokens_out", "latency_ms", "ttft_ms")
    )
    took_ms = np.where(first < whole, whole - first, whole)
    told = ok & (tokens >= 1) & (took_ms > 0)
    with np.errstate(over="ignore"):  # next to no time: infinite, and cut off like all above
        rate = np.minimum(tokens[told] * 1000 / took_ms[told], MAX_RATE)
    return _built_in("tokens_per_s", outcomes.row[told], rate, dead)


def _scores(
    outcomes: Outcomes, cell: Rows, routers: Sequence[KnownRouter], dead: list[DeadLetter]
) -> list[Observations]:
    scores = outcomes.scores
    parts: list[Observations] = []
    for index, metric in enumerate(scores.metrics):
        which = scores.metric == index
        places, values = scores.place[which], scores.value[which]
        possible = _possible(metric, Kind.SCORE, outcomes.row[places], values, dead)
        places, values = places[possible], values[possible]
        # the last one is for outcomes without a cell, whose index is -1
        codes = np.array([*(_score_code(metric, router) for router in routers), _NOT_DECLARED])
        code, rows = codes[cell[places]], outcomes.row[places]
        known = code != _NOT_DECLARED
        dead += _letters(rows[~known], REASON_METRIC, f"metric {metric!r} has not been declared")
        fixed = to_fixed(Kind.SCORE, values[known])
        parts.append(Observations(rows[known], code[known], fixed))
    return parts


def _score_code(metric: str, router: KnownRouter) -> int:
    """The metric's code, if it may be scored."""
    code = None if metric in BUILT_IN else router.metric_code(metric)
    return _NOT_DECLARED if code is None else code


def _signals(
    outcomes: Outcomes, cell: Rows, routers: Sequence[KnownRouter], dead: list[DeadLetter]
) -> list[Observations]:
    if not any(outcomes.signals):
        return []
    by_signal: dict[str, list[int]] = {}
    for row, at, signals in zip(
        outcomes.row.tolist(), cell.tolist(), outcomes.signals, strict=True
    ):
        dead += _unknown_signals(row, signals)
        counting = routers[at].signals if at >= 0 else ()
        for signal in sorted(set(signals).intersection(counting)):
            by_signal.setdefault(signal, []).append(row)
    return [
        _built_in(signal, np.array(rows), np.full(len(rows), SIGNALS[signal]), dead)
        for signal, rows in by_signal.items()
    ]


def _unknown_signals(row: int, signals: Iterable[str]) -> list[DeadLetter]:
    return [
        DeadLetter(row, REASON_METRIC, f"{signal[:64]!r} is no signal this version knows")
        for signal in signals
        if signal not in SIGNALS
    ]


def _flags(values: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(values, dtype=np.bool_)


def _built_in(
    metric: str, rows: Rows, values: NDArray[np.float64], dead: list[DeadLetter]
) -> Observations:
    code, kind = BUILT_IN[metric]
    possible = _possible(metric, kind, rows, values, dead)
    fixed = to_fixed(kind, values[possible])
    return Observations(rows[possible], np.full(len(fixed), code, dtype=np.int64), fixed)


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
