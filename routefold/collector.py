"""Python's cycle collector, for processes that serve without a pause."""

from __future__ import annotations

import gc
from typing import Final

# A batch of events, or a second of requests, makes a hundred thousand objects and hardly a cycle.
# By default they are searched over and over: a tenth of the consumer's time, and pauses of 50 ms in
# the API, where a full collection also walks every module.
_THRESHOLDS: Final = (100_000, 50, 50)


def tame() -> None:
    """Leave what has been loaded out of all further collections, and collect less often.

    To be called once a process is ready to serve.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
