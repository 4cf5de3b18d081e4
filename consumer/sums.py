"""Changes of facts to exact sums: the arithmetic of `schemas.evidence`, a whole batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from consumer.facts import Cell
from schemas.evidence import (
    HALF_LIVES_PER_ERA,
    PACES,
    POW2,
    TICKS_PER_HALF_LIFE,
    UNIT_WEIGHT,
    Pace,
    SeriesKey,
    Sums,
)
from schemas.metrics import MAX_CODE

# Sums of a batch are held in 64 bits: weight < 2^17, value < 2^31, so 2^14 facts of one row fit. An
# event adds a metric once at most and takes it back once at most: with MAX_BATCH_EVENTS the sums of
# either sign fit, and those of both are smaller.
_LIMB: Final = 31
_POW2: Final = np.array(POW2, dtype=np.int64)


class Changes(NamedTuple):
    """Facts to add or to take back, as parallel arrays."""

    cell: NDArray[np.int64]  # index into a list of cells
    code: NDArray[np.int64]
    fixed: NDArray[np.int64]
    time_ms: NDArray[np.int64]  # of the turn: it weighs the fact
    sign: NDArray[np.int64]  # 1 to add, -1 to take back

    def and_(self, more: Self) -> Changes:
        return Changes(*(np.concatenate(pair) for pair in zip(self, more, strict=True)))


def sums_of(cells: Sequence[Cell], changes: Changes) -> Iterator[tuple[int, SeriesKey, Sums]]:
    """What the changes come to by evidence row, with the index of its cell.

    A row may come several times. Sums may be below zero, or nothing.
    """
    metrics = [{at.router.metric_code(m): m for m in at.router.metrics} for at in cells]
    for pace, half_lives in _half_lives(cells).items():
        half_life = half_lives[changes.cell, changes.code]
        kept = half_life >= 0
        weighed = _weigh(Changes(*(column[kept] for column in changes)), half_life[kept])
        for at, code, half_life_ms, halving, n, s1, high, low in weighed:
            era, shift = divmod(halving, HALF_LIVES_PER_ERA)
            series = SeriesKey(cells[at].arm, metrics[at][code], pace, half_life_ms, era)
            yield at, series, Sums(n << shift, s1 << shift, ((high << _LIMB) + low) << shift)


def _half_lives(cells: Sequence[Cell]) -> dict[Pace, NDArray[np.int64]]:
    """For each pace the half-life in milliseconds by (cell, code); -1 where it is not kept."""
    tables = {pace: np.full((len(cells), MAX_CODE + 1), -1, dtype=np.int64) for pace in PACES}
    for index, cell in enumerate(cells):
        for code, pace, half_life_ms in cell.router.kept_paces:
            tables[pace][index, code] = half_life_ms
    return tables


def _weigh(changes: Changes, half_life: NDArray[np.int64]) -> Iterator[tuple[int, ...]]:
    """(cell, code, half-life, half-lives since 1970, n, s1, s2 high, s2 low) by evidence row.

    In 64-bit integers (see above): weights without the power of two of their half-life
    within the era, and the squares in two limbs.
    """
    if not len(half_life):
        return
    cell, code, fixed, time_ms, sign = changes
    forgets = half_life > 0
    tick = np.where(forgets, time_ms * TICKS_PER_HALF_LIFE // np.where(forgets, half_life, 1), 0)
    halving = tick // TICKS_PER_HALF_LIFE
    base = sign * np.where(forgets, _POW2[tick & TICKS_PER_HALF_LIFE - 1], UNIT_WEIGHT)
    # One integer a row: a cell's code has one half-life at each pace. 2^34 half-lives of 100 ms
    # are 54 years, and a batch has at most 2^15 cells of 2^6 codes.
    row = (cell * (MAX_CODE + 2) + code << 40) + halving
    order = np.argsort(row)  # in no order within a row: a stable sort takes four times as long
    starts = np.flatnonzero(np.diff(row[order], prepend=-1))
    base, fixed, first = base[order], fixed[order], order[starts]
    square = fixed * fixed
    sums = (
        np.add.reduceat(column, starts)
        for column in (
            base,
            base * fixed,
            base * (square >> _LIMB),
            base * (square & (1 << _LIMB) - 1),
        )
    )
    columns = (cell[first], code[first], half_life[first], halving[first], *sums)
    yield from zip(*(column.tolist() for column in columns), strict=True)
