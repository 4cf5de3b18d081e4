"""How long an accepted outcome takes until routers use it, measured where both ends are seen.

The log position at which the broker took an outcome is remembered until a snapshot of its (router,
request type, partition) has passed it. What the spool took has no position and is not measured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from time import monotonic
from typing import Final, NamedTuple

from router_api.routing.state import ShareKey
from schemas.events import Progress

# Two decimal places of a p99, at 80 kB a router.
MAX_SAMPLES: Final = 10_000
# While the consumer is away nothing is answered: then the first ones measured stand for the rest.
MAX_PENDING_PER_SHARE: Final = 10_000


class Freshness(NamedTuple):
    """Milliseconds from acceptance to use, over the last samples; None without any."""

    p50: float | None
    p99: float | None
    samples: int


class FreshnessTracker:
    """Matches accepted outcomes with the snapshots that count them. Not thread-safe.

    `clock` gives seconds and must never go back; `observe` is told every sample, in seconds.
    """

    def __init__(
        self,
        clock: Callable[[], float] = monotonic,
        observe: Callable[[float], object] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._observe = observe
        self._pending: dict[ShareKey, list[tuple[int, float]]] = {}
        self._applied: dict[ShareKey, int] = {}
        self._passed: dict[int, int] = {}
        self._samples: dict[str, deque[float]] = {}

    def accepted(self, key: ShareKey, offset: int) -> None:
        """The broker has just taken an outcome of that share at that offset."""
        if self._applied.get(key, 0) > offset:
            # The answer of the broker was slower than consumer and snapshot.
            self._sample(key.router, 0.0)
            return
        waiting = self._pending.setdefault(key, [])
        if len(waiting) < MAX_PENDING_PER_SHARE:
            heappush(waiting, (offset, self._clock()))

    def share_applied(self, key: ShareKey, source_offset: int) -> None:
        """A snapshot that counts everything before `source_offset` is in use."""
        self._applied[key] = source_offset
        waiting = self._pending.get(key)
        now = self._clock()
        while waiting and waiting[0][0] < source_offset:
            self._sample(key.router, now - heappop(waiting)[1])

    def progressed(self, progress: Progress) -> None:
        """A partition has been folded so far.

        What was folded before the last such report, and is in no snapshot since, brought nothing
        new (a repeat, a dead letter). It is forgotten: the snapshot of a later event would
        measure the quiet in between. One report is not enough: it may overtake its snapshots.
        """
        passed = self._passed.get(progress.partition, 0)
        for key, waiting in self._pending.items():
            while key.partition == progress.partition and waiting and waiting[0][0] < passed:
                heappop(waiting)
        self._passed[progress.partition] = progress.next_offset

    def of(self, router: str) -> Freshness:
        """Percentiles of a router's last samples."""
        samples = sorted(self._samples.get(router, ()))
        if not samples:
            return Freshness(None, None, 0)
        count = len(samples)
        return Freshness(samples[count // 2], samples[count * 99 // 100], count)

    def _sample(self, router: str, seconds: float) -> None:
        self._samples.setdefault(router, deque(maxlen=MAX_SAMPLES)).append(seconds * 1000)
        self._observe(seconds)
