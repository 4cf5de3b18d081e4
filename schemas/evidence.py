"""Evidence: exact, forward-decayed integer sums.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: "Forward Decay: A Practical Time Decay Model for
Streaming Systems", ICDE 2009) weighs an observation once, by its own time, and divides when it is
read. Weights here are integers, so sums are associative and commutative: the same observations give
the same bytes in any order, any batching, live or replayed, and a retraction is a subtraction.

With half-life H an observation at time t has the tick k = floor(t * 1024 / H), the era k >> 14
(16 half-lives), and within its era the weight POW2[k & 1023] << ((k >> 10) & 15): 2^16 to 2^32.
Without a half-life every weight is 2^16 and every era 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ldexp
from typing import Final, Literal, NamedTuple

Pace = Literal["slow", "fast"]
PACES: Final[tuple[Pace, Pace]] = ("slow", "fast")

TICKS_PER_HALF_LIFE: Final = 1024
WEIGHT_BITS: Final = 16  # an observation at the start of an era weighs 2^16: 0.001 % resolution
HALF_LIVES_PER_ERA: Final = 16
ERA_SHIFT: Final = 14  # log2(TICKS_PER_HALF_LIFE * HALF_LIVES_PER_ERA)
UNIT_WEIGHT: Final = 1 << WEIGHT_BITS
POW2: Final[tuple[int, ...]] = tuple(
    round(2.0 ** (WEIGHT_BITS + i / TICKS_PER_HALF_LIFE)) for i in range(TICKS_PER_HALF_LIFE)
)
# An era that ended 16 half-lives ago weighs below 2^-16 of the present one.
ERAS_READ: Final = 2
# What ended longer ago may be missing from stored evidence: the writer's `forget_eras` drops
# nothing later, and the fold begins nothing earlier.
KEPT_ERAS: Final = 8
PICKED: Final = "picked"  # the metric of the turn itself


def tick(time_ms: int, half_life_ms: int) -> int:
    """Position of a time in units of 1/1024 half-life since 1970. `half_life_ms` > 0."""
    return time_ms * TICKS_PER_HALF_LIFE // half_life_ms


def era(time_ms: int, half_life_ms: int) -> int:
    """The era of a time; 0 for `half_life_ms` = 0 (nothing is forgotten)."""
    return tick(time_ms, half_life_ms) >> ERA_SHIFT if half_life_ms else 0


def weight(time_ms: int, half_life_ms: int) -> int:
    """Weight of an observation within its era: 2^16 .. 2^32; 2^16 for `half_life_ms` = 0."""
    if not half_life_ms:
        return UNIT_WEIGHT
    k = tick(time_ms, half_life_ms)
    return POW2[k & (TICKS_PER_HALF_LIFE - 1)] << ((k >> 10) & (HALF_LIVES_PER_ERA - 1))


class Sums(NamedTuple):
    """Σ weight, Σ weight·x and Σ weight·x² of one evidence row; integers of any size."""

    n: int
    s1: int
    s2: int

    def plus(self, other: Sums) -> Sums:
        n, s1, s2 = self
        more_n, more_s1, more_s2 = other
        return Sums._make((n + more_n, s1 + more_s1, s2 + more_s2))

    def minus(self, other: Sums) -> Sums:
        return Sums(self.n - other.n, self.s1 - other.s1, self.s2 - other.s2)


ZERO: Final = Sums(0, 0, 0)


class SeriesKey(NamedTuple):
    """What one evidence row is about, within its (router, request type): everything but sums."""

    arm: str
    metric: str
    pace: Pace
    half_life_ms: int
    era: int


Evidence = Mapping[SeriesKey, Sums]


@dataclass(frozen=True, slots=True)
class Effective:
    """Evidence as read at a time: an observation made at that very time counts 1."""

    n: float
    s1: float
    s2: float

    @property
    def mean(self) -> float | None:
        """Mean fixed-point value; None without observations."""
        return self.s1 / self.n if self.n > 0 else None

    def scaled(self, left: float) -> Effective:
        """The same observations, each counting that much."""
        return Effective(self.n * left, self.s1 * left, self.s2 * left)


NOTHING: Final = Effective(0.0, 0.0, 0.0)


def read_at(rows: Mapping[int, Sums], half_life_ms: int, at_ms: int) -> Effective:
    """Scale the rows of one series, given by era, to the time `at_ms`.

    Eras older than the last two are left out: they are below the resolution of a weight.
    """
    present = era(at_ms, half_life_ms)
    unit = weight(at_ms, half_life_ms)
    n = s1 = s2 = 0.0
    for row_era in sorted(rows):
        if row_era <= present - ERAS_READ:
            continue
        shift = HALF_LIVES_PER_ERA * (row_era - present)
        row = rows[row_era]
        n += ldexp(row.n, shift) / unit
        s1 += ldexp(row.s1, shift) / unit
        s2 += ldexp(row.s2, shift) / unit
    return Effective(n, s1, s2)


def remaining(elapsed_ms: int, half_life_ms: int) -> float:
    """What is left of an observation after a time; all of it for `half_life_ms` = 0."""
    return 2.0 ** (-elapsed_ms / half_life_ms) if half_life_ms else 1.0


def reading_ms(arm: str, metric: str, as_of_ms: int, seen_ms: Mapping[str, int]) -> int:
    """The time at which an arm's evidence of a metric is read: that of its latest turn that has
    shown anything (`seen_ms`, at most `as_of_ms`, which stands for an arm that it lacks).

    So what came last does not fade against what was before, while others are used. That an arm was
    picked shows nothing yet.
    """
    return as_of_ms if metric == PICKED else seen_ms.get(arm, as_of_ms)


def visible(
    evidence: Iterable[SeriesKey], as_of_ms: int, seen_ms: Mapping[str, int]
) -> list[SeriesKey]:
    """The keys that a reader uses, sorted: the rest has decayed to nothing."""
    return sorted(
        key
        for key in evidence
        if key.era
        > era(reading_ms(key.arm, key.metric, as_of_ms, seen_ms), key.half_life_ms) - ERAS_READ
    )


def digest(evidence: Evidence) -> bytes:
    """BLAKE2b-128 over the rows in key order; equal for equal evidence, whatever its history.

    Rows that sum to nothing (everything retracted) do not count: they equal absent rows.
    """
    hasher = hashlib.blake2b(digest_size=16)
    for key in sorted(evidence):
        sums = evidence[key]
        if sums != ZERO:
            hasher.update("\x1f".join(map(str, (*key, *sums))).encode())
            hasher.update(b"\x1e")
    return hasher.digest()
