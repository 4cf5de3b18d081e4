"""Columns to observations: each metric's values as (row, code, fixed-point integer).

What a value may be is decided here; an impossible one condemns its whole event, so that an event is
either folded as it is or kept for repair, never half.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from consumer.decode import MEASURED, Columns
from consumer.records import DeadLetter
from consumer.routers import KnownRouter
from schemas.metrics import BUILT_IN, MAX_RATE, SIGNALS, Kind, max_value, to_fixed

REASON_METRIC: Final = "unknown_metric"
REASON_VALUE: Final = "impossible_value"
REASON_EMPTY: Final = "empty_outcome"

_TIMES: Final = ("latency_ms", "ttft_ms")

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


def observe_turns(turns: Columns, dead: list[DeadLetter]) -> list[Observations]:
    """Each turn observes that its arm was picked, with the logged probability."""
    rows = np.array(turns["row"], dtype=np.int64)
    probability = np.array(turns["probability"], dtype=np.float64)
    for row, session_id, reaction in zip(
        turns["row"], turns["session_id"], turns["reaction"], strict=True
    ):
        dead += _unknown_signals(row, reaction or ())
        if reaction and session_id is None:
            dead.append(DeadLetter(row, REASON_VALUE, "a reaction, but no session it belongs to"))
    zero = probability == 0.0
    dead += _letters(rows[zero], REASON_VALUE, "probability 0: what can't be picked was not")
    return [_built_in("picked", rows, probability, dead)]


def observe_outcomes(
    outcomes: Columns, routers: Sequence[KnownRouter | None], dead: list[DeadLetter]
) -> list[Observations]:
    """What the outcomes report. `routers` gives the router of each row of the batch, if known."""
    rows = np.array(outcomes["row"], dtype=np.int64)
    ok, failed, cancelled = (
        _flags(status in wanted for status in outcomes["status"])
        for wanted in (("ok",), ("error", "timeout"), ("cancelled",))
    )
    ended = ok | failed
    fell_back = _given(outcomes["arm_served"])
    as_picked, in_place = ended & ~fell_back, ended & fell_back
    parts = [
        _built_in("health", rows[as_picked], ok[as_picked].astype(np.float64), dead),
        _built_in("fallback_health", rows[in_place], ok[in_place].astype(np.float64), dead),
        _built_in("success", rows[ended], ok[ended].astype(np.float64), dead),
        _built_in("error", rows[failed], np.zeros(failed.sum()), dead),
        _built_in("cancelled", rows[cancelled], np.ones(cancelled.sum()), dead),
    ]
    said = zip(outcomes["scores"], outcomes["signals"], strict=True)
    reported = ended | cancelled | _flags(bool(scores or signals) for scores, signals in said)
    for metric in MEASURED:
        given = _given(outcomes[metric])
        reported = reported | given
        # A call that failed took no time to answer: its time is the time-out's, not the arm's.
        used = given & ~failed & ~cancelled if metric in _TIMES else given
        values = np.array(outcomes[metric], dtype=np.float64)[used]
        parts.append(_built_in(metric, rows[used], values, dead))
    parts.append(_tokens_per_s(outcomes, rows, ok, dead))
    parts += _scores(outcomes, routers, dead)
    voiding = _given(outcomes["voids"])
    dead += _letters(rows[~reported & ~voiding], REASON_EMPTY, "the outcome reports nothing")
    parts += _signals(outcomes, routers, dead)
    own = zip(outcomes["voids"], outcomes["outcome_id"], strict=True)
    itself = _flags(voids is not None and voids == outcome_id for voids, outcome_id in own)
    dead += _letters(rows[itself], REASON_VALUE, "an outcome can't void itself")
    return parts


def _tokens_per_s(
    outcomes: Columns, rows: Rows, ok: NDArray[np.bool_], dead: list[DeadLetter]
) -> Observations:
    """Speed of the answer itself: from its first token on, where that is known."""
    tokens, whole, first = (
        np.array(outcomes[name], dtype=np.float64)  # NaN where it is not given
        for name in ("tokens_out", "latency_ms", "ttft_ms")
    )
    took_ms = np.where(first < whole, whole - first, whole)
    told = ok & (tokens >= 1) & (took_ms > 0)
    with np.errstate(over="ignore"):  # next to no time: infinite, and cut off like all above
        rate = np.minimum(tokens[told] * 1000 / took_ms[told], MAX_RATE)
    return _built_in("tokens_per_s", rows[told], rate, dead)


def _signals(
    outcomes: Columns, routers: Sequence[KnownRouter | None], dead: list[DeadLetter]
) -> list[Observations]:
    by_signal: dict[str, list[int]] = {}
    for row, signals in zip(outcomes["row"], outcomes["signals"], strict=True):
        if not signals:
            continue
        dead += _unknown_signals(row, signals)
        counting = router.signals if (router := routers[row]) else ()
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


def _given(values: list[Any]) -> NDArray[np.bool_]:
    """Which values are not None. Mostly all are, or none."""
    missing = values.count(None)
    if missing in (0, len(values)):
        return np.full(len(values), missing == 0)
    return _flags(value is not None for value in values)


def _flags(values: Iterable[bool]) -> NDArray[np.bool_]:
    return np.fromiter(values, dtype=np.bool_)


def _built_in(
    metric: str, rows: Rows, values: NDArray[np.float64], dead: list[DeadLetter]
) -> Observations:
    code, kind = BUILT_IN[metric]
    possible = _possible(metric, kind, rows, values, dead)
    fixed = to_fixed(kind, values[possible])
    return Observations(rows[possible], np.full(len(fixed), code, dtype=np.int64), fixed)


def _scores(
    outcomes: Columns, routers: Sequence[KnownRouter | None], dead: list[DeadLetter]
) -> list[Observations]:
    by_metric: dict[str, tuple[list[int], list[float]]] = {}
    for row, scores in zip(outcomes["row"], outcomes["scores"], strict=True):
        for metric, value in scores or ():
            its_rows, its_values = by_metric.setdefault(metric, ([], []))
            its_rows.append(row)
            its_values.append(value)
    parts: list[Observations] = []
    for metric, (given_rows, given_values) in by_metric.items():
        rows, values = np.array(given_rows), np.array(given_values)
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
