"""What can be evidence. Sums from outside, of a snapshot or of a row of Postgres, are checked where
they come in, so that nothing downstream, least of all a pick, has to defend itself. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from schemas.evidence import SeriesKey, Sums, era
from schemas.metrics import Kind, kind_of, max_value, to_fixed

# 2^64 observations of the heaviest weight, 2^32. Above, sums would leave the range of a double.
_MAX_WEIGHT: Final = 1 << 96
_MAX_FIXED: Final[Mapping[Kind, int]] = {
    kind: int(to_fixed(kind, np.array([max_value(kind)]))[0]) for kind in Kind
}


def is_evidence(key: SeriesKey, sums: Sums, read_ms: int) -> bool:
    """True if Σw, Σwx and Σwx² can be those of observations of this metric, made until then."""
    if not all(isinstance(part, int) for part in sums):
        return False  # only in-process callers can do this; a float may be NaN
    top = _MAX_FIXED[kind_of(key.metric)]
    return (
        0 <= sums.n <= _MAX_WEIGHT
        and 0 <= sums.s1 <= sums.n * top
        and 0 <= sums.s2 <= sums.s1 * top
        and key.half_life_ms >= 0
        and key.era <= era(read_ms, key.half_life_ms)
    )
