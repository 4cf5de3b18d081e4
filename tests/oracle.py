"""The fold written as plainly as possible: one event at a time, fractions instead of integers.

Shares no arithmetic with the code under test but the definition of a fixed-point value.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import numpy as np

from schemas.events import Outcome, RouterConfigured, Turn
from schemas.metrics import kind_of, to_fixed
from schemas.router_config import HalfLives, RouterConfig, parse_config

Row = tuple[str, str, str, str, str, int]  # router, request type, arm, metric, pace, era


@cache
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
        ended_well = 1.0 if event.status == "ok" else 0.0
        yield "success", ended_well
        yield "health" if event.arm_served is None else "fallback_health", ended_well
        if event.arm_served is None:
            yield "uptime", ended_well
    if event.status in ("error", "timeout"):
        yield "error", 0.0
    if event.status == "cancelled":
        yield "cancelled", 1.0
    for metric in ("latency_ms", "ttft_ms", "tokens_in", "tokens_out", "cost_usd"):
        value = getattr(event, metric)
        timed = metric in ("latency_ms", "ttft_ms")
        if value is not None and not (timed and event.status not in ("ok", "none")):
            yield metric, float(value)
    if event.status == "ok" and event.tokens_out and event.latency_ms:
        whole, first = event.latency_ms, event.ttft_ms
        took_ms = whole - first if first is not None and first < whole else whole
        yield "tokens_per_s", min(event.tokens_out * 1000 / took_ms, 1e6)
    yield from event.scores.items()


@dataclass(eq=False)
class _Report:
    """One metric of a turn, as an outcome or a later message has reported it."""

    outcome_id: bytes | None
    event: Turn | Outcome
    metric: str
    value: float
    counts: bool


class Oracle:
    """Folds one partition's events in order. Knows no dead letters: give it good events only."""

    def __init__(self) -> None:
        self.rows: dict[Row, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.folded = self.duplicates = self.late = 0
        self._counted: set[tuple[bytes, str]] = set()
        self._stream_time_ms = 0
        self._configs: dict[str, RouterConfig] = {}
        self._reports: dict[bytes, list[_Report]] = defaultdict(list)  # by turn, in order
        self._place: int | None = None
        self._voided: set[tuple[bytes, bytes | None]] = set()  # (turn id, outcome id)
        self._last: dict[tuple[str, str], Turn] = {}  # each session's last turn
        self._served: dict[bytes, dict[bytes, str]] = defaultdict(dict)  # arms by outcome, of turns
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
        if self._is_late(event.turn_id, config):
            self.late += 1
            return
        freed = self._void(event, config) if isinstance(event, Outcome) else []
        changed = self._report(event, config)
        self.folded += changed or bool(freed)
        self.duplicates += not (changed or freed)
        for metric in freed:
            self._let_in(event.turn_id, metric, config)
        self._follow_session(event, config)

    def _is_late(self, turn_id: bytes, config: RouterConfig) -> bool:
        at_ms = int.from_bytes(turn_id[:6], "big")
        return at_ms < self._stream_time_ms - config.attribution_window_s * 1000

    def _void(self, event: Outcome, config: RouterConfig) -> list[str]:
        """Take back what the voided outcome has added; the metrics that are free again."""
        if event.voids is None:
            return []
        self._voided.add((event.turn_id, event.voids))
        self._served[event.turn_id].pop(event.voids, None)
        reports = self._reports[event.turn_id]
        taken = [each for each in reports if each.outcome_id == event.voids]
        for each in taken:
            if each.counts:
                self._counted.remove((event.turn_id, each.metric))
                self._observe(each.event, config, each.metric, each.value, sign=-1)
        if taken:  # what is reported in its place stands in its place
            self._place = reports.index(taken[0])
        self._reports[event.turn_id] = [each for each in reports if each not in taken]
        return [each.metric for each in taken if each.counts]

    def _report(self, event: Turn | Outcome, config: RouterConfig) -> bool:
        """Count what is not counted yet, and remember the rest; True if anything counts."""
        place, self._place = self._place, None
        said = event.signals if isinstance(event, Outcome) else ()
        signals = [(s, float(s == "satisfaction")) for s in said if s in config.rewards]
        own = event.outcome_id if isinstance(event, Outcome) else None
        if (event.turn_id, own) in self._voided:
            return False
        reports = self._reports[event.turn_id]
        before = [each.metric for each in reports if own and each.outcome_id == own]
        new = []
        for metric, value in [*observations(event), *signals]:
            counts = (event.turn_id, metric) not in self._counted
            if metric not in before and (counts or (own and not before)):
                new.append(_Report(own, event, metric, value, counts))
            if metric not in before and counts:
                self._counted.add((event.turn_id, metric))
                self._observe(event, config, metric, value)
        at = len(reports) if place is None else place
        self._reports[event.turn_id] = [*reports[:at], *new, *reports[at:]]
        return any(each.counts for each in new)

    def _let_in(self, turn_id: bytes, metric: str, config: RouterConfig) -> None:
        """The first that waited for a metric to be free again counts now."""
        for each in self._reports[turn_id]:
            if each.metric == metric and (turn_id, metric) not in self._counted:
                each.counts = True
                self._counted.add((turn_id, metric))
                self._observe(each.event, config, metric, each.value)

    def _follow_session(self, event: Turn | Outcome, config: RouterConfig) -> None:
        if event.session_id is None:
            return
        session = (event.router, event.session_id)
        last = self._last.get(session)
        if last is not None and self._is_late(last.turn_id, config):
            last = None  # the session begins anew
        if isinstance(event, Outcome):
            if last is not None and last.turn_id == event.turn_id:
                self._serve(event, last)
            return
        if last is not None and last.turn_id >= event.turn_id:
            return
        if last is not None and event.previous_turn_id in (None, last.turn_id):
            for signal in event.reaction:
                if signal not in config.rewards:
                    continue
                self._credit(session, last, signal, config)
        if last is None:
            self._exchanges[session] = 0
            self._thanked.discard(session)
        self._last[session] = event
        self._exchanges[session] += 1

    def _serve(self, event: Outcome, last: Turn) -> None:
        if event.arm_served in (None, _arm(last)):
            return
        if (event.turn_id, event.outcome_id) not in self._voided and event.arm_served:
            self._served[event.turn_id].setdefault(event.outcome_id, event.arm_served)

    def _credit(
        self, session: tuple[str, str], last: Turn, signal: str, config: RouterConfig
    ) -> None:
        if signal == "satisfaction":
            if session in self._thanked or self._exchanges[session] < 2:
                return
            self._thanked.add(session)
        arm = [_arm(last), *self._served[last.turn_id].values()][-1]
        credited = replace(last, arm=arm, arm_served=None)
        value = 1.0 if signal == "satisfaction" else 0.0
        counts = (last.turn_id, signal) not in self._counted
        self._reports[last.turn_id].append(_Report(None, credited, signal, value, counts))
        if counts:
            self._counted.add((last.turn_id, signal))
            self._observe(credited, config, signal, value)

    def _observe(
        self,
        event: Turn | Outcome,
        config: RouterConfig,
        metric: str,
        value: float,
        sign: int = 1,
    ) -> None:
        at_ms = int.from_bytes(event.turn_id[:6], "big")
        short = ("latency_ms", "ttft_ms", "tokens_per_s", "health", "fallback_health")
        classes = config.half_lives_s
        half_lives = classes.latency if metric in short else classes.quality
        if metric == "uptime":
            half_lives = HalfLives(slow=6 * 3600.0, fast=30.0)
        x = int(to_fixed(kind_of(metric), np.array([value]))[0])
        slow_only = metric in (
            "picked",
            "cancelled",
            "tokens_in",
            "tokens_out",
            "cost_usd",
            "tokens_per_s",
        )
        for pace, half_life_s in (("slow", half_lives.slow), ("fast", half_lives.fast)):
            if pace == "fast" and (half_life_s is None or slow_only):
                continue
            era, weight = 0, 65536
            if half_life_s is not None:
                tick = at_ms * 1024 // round(half_life_s * 1000)
                era, within = divmod(tick, 16 * 1024)
                weight = pow2(within % 1024) * 2 ** (within // 1024)
            row = self.rows[(event.router, event.request_type, _arm(event), metric, pace, era)]
            for power in range(3):
                row[power] += sign * weight * x**power


def _arm(event: Turn | Outcome) -> str:
    """The arm that the facts of an event are about."""
    return event.arm_served or event.arm


def decayed(weight_age_s: Fraction, half_life_s: Fraction) -> float:
    """What an observation of this age counts for, in plain exponential decay."""
    return float(0.5 ** float(weight_age_s / half_life_s))
