"""Rows of differing length, as flat arrays: thousands of them cost a few calls of numpy."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Ragged(NamedTuple):
    """Byte strings, one behind the other in `data`; their lengths in order."""

    lengths: NDArray[np.int64]
    data: NDArray[np.uint8]

    def where(self, which: NDArray[np.bool_]) -> Ragged:
        """Some of the strings."""
        return Ragged(self.lengths[which], self.data[np.repeat(which, self.lengths)])

    def to_list(self) -> list[bytes]:
        flat, ends = self.data.tobytes(), np.cumsum(self.lengths).tolist()
        return [flat[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def stable_order(numbers: NDArray[np.int64], below: int) -> NDArray[np.int64]:
    """The order that sorts numbers from 0 up to `below`, equal ones as they are. For up to 2^16,
    as many as a batch has, numpy sorts by radix: a fifth of the time."""
    small = numbers.astype(np.uint16) if below <= 1 << 16 else numbers
    return np.argsort(small, kind="stable")


NOTHING: Final = Ragged(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint8))


def interleave(
    heads: NDArray[Any], bodies: NDArray[Any], lengths: NDArray[np.int64]
) -> NDArray[Any]:
    """Each row of `heads` followed by as many of the items of `bodies` as `lengths` says."""
    count, width = heads.shape
    runs = np.stack([np.full(count, width), lengths], axis=1).reshape(-1)
    is_head = np.repeat(np.tile([True, False], count), runs)
    out = np.empty(len(is_head), dtype=heads.dtype)
    out[is_head] = heads.reshape(-1)
    out[~is_head] = bodies
    return out
