"""How a worker's process gets its memory."""

from __future__ import annotations

import ctypes
import sys
from typing import Final

# mallopt(3): M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD.
_TRIM: Final = -1
_TOP_PAD: Final = -2
_MMAP: Final = -3
# More than any column of a batch, and than all that a batch frees.
_LARGE_BYTES: Final = 1 << 30
_STEP_BYTES: Final = 64 << 20


def keep_memory() -> None:
    """Have glibc keep what is freed for the next batch, where this process runs on it.

    Columns of a batch are so large that each would be mapped anew and given back at once; clearing
    the pages took a twelfth of the fold's time. The most that is ever in use stays the same.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    for option, value in ((_MMAP, _LARGE_BYTES), (_TRIM, _LARGE_BYTES), (_TOP_PAD, _STEP_BYTES)):
        mallopt(option, value)
