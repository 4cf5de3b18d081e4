"""Changes of facts to exact sums: the arithmetic of `schemas.evidence`, a whole batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from consumer.cells import Cell
from consumer.ragged import stable_order
from consumer.routers import KnownRouter
from schemas.evidence import (
    ERA_SHIFT,
    HALF_LIVES_PER_ERA,
    KEPT_ERAS,
    PACES,
    PICKED,
    POW2,
    TICKS_PER_HALF_LIFE,
    UNIT_WEIGHT,
    Pace,
    SeriesKey,
    Sums,
)
from schemas.metrics import BUILT_IN, MAX_CODE

# Sums of a batch are held in 64 bits, so what a weight is multiplied with is cut into limbs:
# weight < 2^32, limb < 2^16, and 2^15 facts of one row fit. An event adds a metric once at most and
# takes it back once at most: with MAX_BATCH_EVENTS the sums of either sign fit, and those of both
# are smaller.
_LIMB: Final = 16
_LIMB_MASK: Final = (1 << _LIMB) - 1
_POW2: Final = np.array(POW2, dtype=np.int64)
_PICKED: Final = BUILT_IN[PICKED][0]
_series: Final = SeriesKey._make
_sums: Final = Sums._make

ByCell = NDArray[np.int64]


class Changes(NamedTuple):
    """Facts to add or to take back, as parallel arrays."""

    cell: NDArray[np.int64]  # index into a list of cells
    code: NDArray[np.int64]
    fixed: NDArray[np.int64]
    time_ms: NDArray[np.int64]  # of the turn: it weighs the fact
    sign: NDArray[np.int64]  # 1 to add, -1 to take back

    def and_(self, more: Self) -> Changes:
        return Changes(*(np.concatenate(pair) for pair in zip(self, more, strict=True)))


class Latest(NamedTuple):
    """By cell the time of the latest turn that a batch has folded; 0: none."""

    as_of_ms: ByCell
    seen_ms: ByCell  # of those that have shown more than that the arm was picked


def sums_of(
    cells: Sequence[Cell], changes: Changes, latest: Latest
) -> Iterator[tuple[int, SeriesKey, Sums]]:
    """What the changes come to by evidence row, with the index of its cell.

    A row comes once for its cell. Sums may be below zero, or nothing. Rows that nobody will read
    any more are left out: in a log of months most evidence of short half-lives has decayed by the
    end of its batch.
    """
    named = [[(at.arm, metric) for metric in _metrics(at.router)] for at in cells]
    for pace, half_lives in _half_lives(cells).items():
        weighed = _weigh(changes, half_lives, _oldest_eras(half_lives, latest))
        for cell, code, half_life_ms, era, n, a0, a1, b0, b1, b2, b3 in weighed:
            # _make costs half of a call with names, and there are thousands of rows
            series = _series((*named[cell][code], pace, half_life_ms, era))
            s2 = (b3 << _LIMB * 3) + (b2 << _LIMB * 2) + (b1 << _LIMB) + b0
            yield cell, series, _sums((n, (a1 << _LIMB) + a0, s2))


def _metrics(router: KnownRouter) -> list[str]:
    """The router's metrics by their codes."""
    by_code = {router.metric_code(metric): metric for metric in router.metrics}
    return [by_code.get(code, "") for code in range(MAX_CODE + 1)]


def _half_lives(cells: Sequence[Cell]) -> dict[Pace, NDArray[np.int64]]:
    """For each pace the half-life in milliseconds by (cell, code); -1 where it is not kept."""
    tables = {pace: np.full((len(cells), MAX_CODE + 1), -1, dtype=np.int64) for pace in PACES}
    for index, cell in enumerate(cells):
        for code, pace, half_life_ms in cell.router.kept_paces:
            tables[pace][index, code] = half_life_ms
    return tables


def _oldest_eras(half_lives: NDArray[np.int64], latest: Latest) -> NDArray[np.int64]:
    """By (cell, code) the oldest era that will be read. Reading times (schemas.evidence.reading_ms)
    only grow once there is one, and later batches can't make a row readable again."""
    reading_ms = np.repeat(latest.seen_ms[:, np.newaxis], half_lives.shape[1], axis=1)
    reading_ms[:, _PICKED] = latest.as_of_ms
    return (_ticks(reading_ms, half_lives) >> ERA_SHIFT) - KEPT_ERAS


def _ticks(time_ms: NDArray[np.int64], half_life_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """schemas.evidence.tick; 0 where nothing is forgotten."""
    forgets = half_life_ms > 0
    ticks = time_ms * TICKS_PER_HALF_LIFE // np.where(forgets, half_life_ms, 1)
    return np.where(forgets, ticks, 0)


def _weigh(
    changes: Changes, half_lives: NDArray[np.int64], oldest: NDArray[np.int64]
) -> Iterator[tuple[int, ...]]:
    """(cell, code, half-life, era, n, the limbs of s1, those of s2) by evidence row."""
    at = changes.cell * half_lives.shape[1] + changes.code
    half_life = half_lives.reshape(-1)[at]
    ticks = _ticks(changes.time_ms, half_life)
    era = ticks >> ERA_SHIFT
    age = era - oldest.reshape(-1)[at]
    kept = np.flatnonzero((half_life >= 0) & (age >= 0))
    if not len(kept):
        return iter(())
    # One integer a row, mostly a small one: few eras are kept, but of cells that show nothing in
    # this batch. Those of 100 ms half-lives fit into 36 bits until the year 3000, and a batch has
    # at most 2^16 cells of 2^6 codes.
    age = age[kept]
    row = at[kept] * (int(age.max()) + 1) + age
    order = stable_order(row, int(row.max()) + 1)
    starts = np.flatnonzero(np.diff(row[order], prepend=-1))
    kept = kept[order]
    weight = _weights(ticks[kept], half_life[kept]) * changes.sign[kept]
    first = kept[starts]
    keys = (changes.cell[first], changes.code[first], half_life[first], era[first])
    limbs = (weight * limb for limb in _limbs(changes.fixed[kept]))
    sums = (np.add.reduceat(column, starts) for column in (weight, *limbs))
    return zip(*(column.tolist() for column in (*keys, *sums)), strict=True)


def _weights(ticks: NDArray[np.int64], half_life_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """schemas.evidence.weight."""
    halvings = ticks // TICKS_PER_HALF_LIFE & HALF_LIVES_PER_ERA - 1
    weights = _POW2[ticks & TICKS_PER_HALF_LIFE - 1] << halvings
    return np.where(half_life_ms > 0, weights, UNIT_WEIGHT)


def _limbs(fixed: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The two limbs of each value, then the four of its square, low ones first."""
    yield fixed & _LIMB_MASK
    yield fixed >> _LIMB
    square = fixed * fixed
    for place in range(4):
        yield square >> _LIMB * place & _LIMB_MASK
