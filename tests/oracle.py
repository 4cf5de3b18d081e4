"""The fold written as plainly as possible: one event at a time, fractions instead of integers.

Shares no arithmetic with the code under test but the definition of a fixed-point value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from schemas.events import Outcome, RouterConfigured, Turn
from schemas.metrics import kind_of, to_fixed
from schemas.router_config import RouterConfig, parse_config

Row = tuple[str, str, str, str, str, int]  # router, request type, arm, metric, pace, era


def pow2(i: int) -> int:
    """round(2^(16 + i/1024)) by integer roots, without a floating-point number."""
    # the largest r with r^1024 <= 2^(16*1024 + i), then rounded by comparing with r + 1/2
    target = 1 << (16 * 1024 + i)
    r = 1 << 16
    step = 1 << 16
    while step:
        if (r + step) ** 1024 <= target:
            r += step
        step >>= 1
    return r + 1 if (2 * r + 1) ** 1024 <= target << 1024 else r


def observations(event: Turn | Outcome) -> Iterator[tuple[str, float]]:
    """The (metric, value) pairs that an event brings."""
    if isinstance(event, Turn):
        yield "picked", event.probability
        return
    if event.status in ("ok", "error", "timeout"):
        yield "success", 1.0 if event.status == "ok" else 0.0
    if event.status in ("error", "timeout"):
        yield "error", 0.0
    if event.status == "cancelled":
        yield "cancelled", 1.0
    for metric in ("latency_ms", "ttft_ms", "tokens_in", "tokens_out", "cost_usd"):
        value = getattr(event, metric)
        timed = metric in ("latency_ms", "ttft_ms")
        if value is not None and not (timed and event.status not in ("ok", "none")):
            yield metric, float(value)
    yield from event.scores.items()


class Oracle:
    """Folds one partition's events in order. Knows no dead letters: give it good events only."""

    def __init__(self) -> None:
        self.rows: dict[Row, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.folded = self.duplicates = self.late = 0
        self._counted: set[tuple[bytes, str]] = set()
        self._stream_time_ms = 0
        self._configs: dict[str, RouterConfig] = {}
        self._last: dict[tuple[str, str], Turn] = {}  # each session's last turn
        self._served: dict[bytes, str] = {}
        self._exchanges: dict[tuple[str, str], int] = defaultdict(int)
        self._thanked: set[tuple[str, str]] = set()

    def fold(self, events: Iterable[Turn | Outcome | RouterConfigured]) -> Oracle:
        for event in events:
            if isinstance(event, RouterConfigured):
                self._configs.setdefault(event.router, parse_config(event.config))
            else:
                self._fold_one(event)
        return self

    def _fold_one(self, event: Turn | Outcome) -> None:
        config = self._configs[event.router]
        self._stream_time_ms = max(self._stream_time_ms, event.occurred_at)
        at_ms = int.from_bytes(event.turn_id[:6], "big")
        if at_ms < self._stream_time_ms - config.attribution_window_s * 1000:
            self.late += 1
            return
        new = False
        said = event.signals if isinstance(event, Outcome) else ()
        signals = [(s, float(s == "satisfaction")) for s in said if s in config.rewards]
        for metric, value in [*observations(event), *signals]:
            if (event.turn_id, metric) in self._counted:
                continue
            self._counted.add((event.turn_id, metric))
            new = True
            self._observe(event, config, metric, value, at_ms)
        self.folded += new
        self.duplicates += not new
        self._follow_session(event, config)

    def _follow_session(self, event: Turn | Outcome, config: RouterConfig) -> None:
        if event.session_id is None:
            return
        session = (event.router, event.session_id)
        last = self._last.get(session)
        if isinstance(event, Outcome):
            if event.arm_served is not None and last and last.turn_id == event.turn_id:
                self._served[event.turn_id] = event.arm_served
            return
        if last is not None and last.turn_id >= event.turn_id:
            return
        if last is not None and event.previous_turn_id in (None, last.turn_id):
            for signal in event.reaction:
                if signal not in config.rewards:
                    continue
                self._credit(session, last, signal, config)
        self._last[session] = event
        self._exchanges[session] += 1

    def _credit(
        self, session: tuple[str, str], last: Turn, signal: str, config: RouterConfig
    ) -> None:
        at_ms = int.from_bytes(last.turn_id[:6], "big")
        if signal == "satisfaction":
            if session in self._thanked or self._exchanges[session] < 2:
                return
            self._thanked.add(session)
        if at_ms < self._stream_time_ms - config.attribution_window_s * 1000:
            return
        if (last.turn_id, signal) in self._counted:
            return
        self._counted.add((last.turn_id, signal))
        arm = self._served.get(last.turn_id, last.arm)
        credited = replace(last, arm=arm)
        self._observe(credited, config, signal, 1.0 if signal == "satisfaction" else 0.0, at_ms)

    def _observe(
        self, event: Turn | Outcome, config: RouterConfig, metric: str, value: float, at_ms: int
    ) -> None:
        arm = (event.arm_served if isinstance(event, Outcome) else None) or event.arm
        timed = metric in ("latency_ms", "ttft_ms")
        classes = config.half_lives_s
        half_lives = classes.latency if timed else classes.quality
        x = int(to_fixed(kind_of(metric), np.array([value]))[0])
        slow_only = metric in ("picked", "cancelled", "tokens_in", "tokens_out", "cost_usd")
        for pace, half_life_s in (("slow", half_lives.slow), ("fast", half_lives.fast)):
            if pace == "fast" and (half_life_s is None or slow_only):
                continue
            era, weight = 0, 65536
            if half_life_s is not None:
                tick = at_ms * 1024 // round(half_life_s * 1000)
                era, within = divmod(tick, 16 * 1024)
                weight = pow2(within % 1024) * 2 ** (within // 1024)
            row = self.rows[(event.router, event.request_type, arm, metric, pace, era)]
            row[0] += weight
            row[1] += weight * x
            row[2] += weight * x * x


def decayed(weight_age_s: Fraction, half_life_s: Fraction) -> float:
    """What an observation of this age counts for, in plain exponential decay."""
    return float(0.5 ** float(weight_age_s / half_life_s))
