"""Which row is played when, and by which simulated user: fixed by a seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

IntArray: TypeAlias = NDArray[np.int64]

MAX_TURNS_PER_SESSION: Final = 6
# Chance that a user leaves after a turn: 2.4 turns a session on average, 40 % with a single one.
_LEAVES: Final = 0.4
# Separate streams, so that one sequence of rows can be played in other sessions.
_ROWS, _SESSIONS = 0, 1


def row_sequence(rows: int, turns: int, seed: int) -> IntArray:
    """Row numbers of `turns` turns: whole shuffles of the rows, one after another, the last cut.

    So after k passes every row has been played exactly k times. `rows`, `turns` ≥ 1, `seed` ≥ 0.
    """
    random = np.random.default_rng((seed, _ROWS))
    passes = -(-turns // rows)
    return np.concatenate([random.permutation(rows) for _ in range(passes)])[:turns].astype(
        np.int64
    )


def sessions(turns: int, seed: int) -> Iterator[range]:
    """The turns of each session, in order: consecutive ranges that cover 0 .. `turns`.

    Lengths are geometric, cut at MAX_TURNS_PER_SESSION.
    """
    random = np.random.default_rng((seed, _SESSIONS))
    start = 0
    while start < turns:
        length = min(int(random.geometric(_LEAVES)), MAX_TURNS_PER_SESSION, turns - start)
        yield range(start, start + length)
        start += length
