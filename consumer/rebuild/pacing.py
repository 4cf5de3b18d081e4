"""How fast a rebuild goes, so that the live consumer keeps up. Pure: clocks are arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# How long the live consumer may stand still before it is taken for stopped. It reports nothing of
# itself; but while it runs and has events to fold, its position moves many times a second.
STANDSTILL_S: Final = 10.0


@dataclass(slots=True)
class RateLimit:
    """At most `per_s` events a second on average; a second's worth may go at once. 0: no limit."""

    per_s: float
    _ready_at_s: float = field(default=0.0, init=False)

    def delay_s(self, now_s: float, events: int) -> float:
        """How long to rest now that so many events have been folded."""
        if self.per_s <= 0:
            return 0.0
        self._ready_at_s = max(self._ready_at_s, now_s - 1.0) + events / self.per_s
        return max(self._ready_at_s - now_s, 0.0)


@dataclass(slots=True)
class LagGuard:
    """Says when to rest: while the live consumer is behind by more than `max_lag` events.

    Work goes on when half of that is left. A consumer whose position stands still is not waited
    for: it does not run, and nothing would come of resting. `max_lag` 0: never rest.
    """

    max_lag: int
    resting: bool = field(default=False, init=False)
    _position: int = field(default=-1, init=False)
    _moved_at_s: float = field(default=0.0, init=False)

    def observe(self, now_s: float, position: int, lag: int) -> bool:
        """True to rest, given the sum of the live consumer's offsets and of the events it lacks."""
        if position != self._position:
            self._moved_at_s = now_s if self._position >= 0 else now_s - STANDSTILL_S
            self._position = position
        runs = now_s - self._moved_at_s < STANDSTILL_S
        threshold = self.max_lag // 2 if self.resting else self.max_lag
        self.resting = bool(self.max_lag) and runs and lag > threshold
        return self.resting
