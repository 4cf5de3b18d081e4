"""What can be observed about a turn, and how each value becomes a fixed-point integer.

Evidence is summed in integers, so that the fold is exact in any order; each kind of metric has one
conversion. Within a router every metric also has a code, the bit that marks it as counted in a
turn's state: built-in metrics have the codes below, the metrics that a configuration declares
follow from `FIRST_DECLARED_CODE` on, in the order of their first declaration.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from enum import Enum
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray


class Kind(Enum):
    """How a metric's value becomes an integer, and what one step of that integer is."""

    SCORE = "score"  # 0..1 in steps of 1/1024
    TIME = "time"  # log2(milliseconds) in steps of 1/64: 1.1 % a step
    TOKENS = "tokens"  # whole tokens
    MONEY = "money"  # micro-dollars
    RATE = "rate"  # log2(thousandths per second) in steps of 1/64


SCORE_ONE: Final = 1024
TIME_STEPS_PER_OCTAVE: Final = 64
MILLIS: Final = 1000  # of a rate's unit: a token in 17 minutes is still told from none
MICROS_PER_USD: Final = 1_000_000
# 2^31 keeps a batch's Σ weight·x² inside two 64-bit limbs (consumer.sums); 2,147 dollars or two
# billion tokens in one request are errors of the reporter, not observations.
MAX_FIXED: Final = 2**31 - 1
# 11.6 days: a request that takes longer is a wrong unit (microseconds sent as milliseconds).
MAX_TIME_MS: Final = 1e9
MAX_RATE: Final = MAX_TIME_MS / MILLIS  # a million tokens a second

BUILT_IN: Final[dict[str, tuple[int, Kind]]] = {
    "picked": (0, Kind.SCORE),  # the Turn event itself; its value is the logged probability
    "success": (1, Kind.SCORE),  # 1 when the call ended ok, 0 on error or timeout
    "error": (2, Kind.SCORE),  # observed only when a call failed, always 0: it can only blame
    "latency_ms": (3, Kind.TIME),
    "ttft_ms": (4, Kind.TIME),
    "tokens_in": (5, Kind.TOKENS),
    "tokens_out": (6, Kind.TOKENS),
    "cost_usd": (7, Kind.MONEY),
    "cancelled": (8, Kind.SCORE),  # the caller hung up: counted, and nobody's fault
    # Signals, read from the conversation: 1 where they speak for the answer, else 0
    "satisfaction": (9, Kind.SCORE),
    "misalignment": (10, Kind.SCORE),
    "stagnation": (11, Kind.SCORE),
    "disengagement": (12, Kind.SCORE),
    "failure": (13, Kind.SCORE),
    "loop": (14, Kind.SCORE),
    "retry": (15, Kind.SCORE),
    "no_progress": (16, Kind.SCORE),
    "exhaustion": (17, Kind.SCORE),
    # `success` as of now: with the short half-lives of latency, and never part of the reward
    "health": (18, Kind.SCORE),
    "tokens_per_s": (19, Kind.RATE),
    # `health` of an arm that answered in another's place: a metric of its own, since a turn counts
    # each metric once, and the failure of the arm that was picked is one of its facts too
    "fallback_health": (20, Kind.SCORE),
    # `health` at two more half-lives: what fails shows at the one that suits how often it is called
    "uptime": (21, Kind.SCORE),
}
SATISFACTION: Final = "satisfaction"
# What each signal is observed as. A signal that did not fire is no observation.
SIGNALS: Final[dict[str, float]] = {
    metric: 1.0 if metric == SATISFACTION else 0.0
    for metric, (code, _) in BUILT_IN.items()
    if 9 <= code <= 17
}
# What passes quickly: kept at the half-lives of latency.
SHORT_LIVED: Final = frozenset(
    {"latency_ms", "ttft_ms", "tokens_per_s", "health", "fallback_health"}
)
UPTIME: Final = "uptime"
# No matter of taste, so not configured: with the half-lives of `health` and `success` (3 s, 5 min
# and 15 min by default) they make a ladder without a gap. At a half-life of H, failures show within
# 60 calls where these come every H/50 to H/2.5: measured from 0.2 s to an hour, on all steps.
UPTIME_SLOW_MS: Final = 6 * 3600 * 1000
UPTIME_FAST_MS: Final = 30 * 1000
REWARDABLE: Final = frozenset({"success", "error", *SIGNALS})
FIRST_DECLARED_CODE: Final = 24  # 22 is kept for another metric; 23 marks voids
# A fast pace decides whether quality or speed has drifted; nothing is decided on these.
SLOW_ONLY: Final = frozenset(
    {"picked", "cancelled", "tokens_in", "tokens_out", "cost_usd", "tokens_per_s"}
)
# A turn's set of counted facts is one signed 64-bit integer in Postgres.
MAX_CODE: Final = 62


def kind_of(metric: str) -> Kind:
    """The kind of a metric; every declared metric is a score."""
    built_in = BUILT_IN.get(metric)
    return built_in[1] if built_in else Kind.SCORE


@cache
def _log_thresholds() -> NDArray[np.float64]:
    """Smallest number that rounds to step j+1, for j = 0, 1, ...

    A logarithm may differ in its last bit between processors, and a fold must not: comparing with
    these constants, each rounded once from 40 digits, gives the same integer everywhere.
    """
    with localcontext() as context:
        context.prec = 40
        steps = TIME_STEPS_PER_OCTAVE * 30  # 2^30 ms is above MAX_TIME_MS
        root = Decimal(2) ** (Decimal(1) / (2 * TIME_STEPS_PER_OCTAVE))
        return np.array([float(root ** (2 * j + 1)) for j in range(steps)], dtype=np.float64)


def to_fixed(kind: Kind, values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Fixed-point integers of `values` (finite and within the kind's range, which callers check).

    Rounds half to even; times below one millisecond, and rates below 0.001, count as that.
    """
    if kind is Kind.RATE:
        values = values * MILLIS
    if kind in (Kind.TIME, Kind.RATE):
        return np.searchsorted(_log_thresholds(), values, side="right").astype(np.int64)
    scale = {Kind.SCORE: SCORE_ONE, Kind.TOKENS: 1, Kind.MONEY: MICROS_PER_USD}[kind]
    return np.rint(values * scale).astype(np.int64)


def from_fixed(kind: Kind, value: float) -> float:
    """The value, in the metric's own unit, of a (possibly fractional) fixed-point number."""
    if kind in (Kind.TIME, Kind.RATE):
        unit = 1.0 if kind is Kind.TIME else MILLIS
        return float(2.0 ** (value / TIME_STEPS_PER_OCTAVE)) / unit
    scale = {Kind.SCORE: SCORE_ONE, Kind.TOKENS: 1, Kind.MONEY: MICROS_PER_USD}[kind]
    return value / scale


def max_value(kind: Kind) -> float:
    """Largest value, in the metric's own unit, that the fold accepts."""
    if kind is Kind.TIME:
        return MAX_TIME_MS
    if kind is Kind.RATE:
        return MAX_RATE
    return {Kind.SCORE: 1.0, Kind.TOKENS: MAX_FIXED, Kind.MONEY: MAX_FIXED / MICROS_PER_USD}[kind]
