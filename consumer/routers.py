"""What one partition knows about each router, from the RouterConfigured events in that partition.

Arms, request types and metrics are only ever added: evidence about an arm that was taken out is
still welcome, and a metric keeps its code for as long as turns remember it. Half-lives are those of
the first configuration, because evidence can't be re-weighed after the fact; the attribution window
only shrinks, because beyond it nothing is remembered. A rebuild starts anew with both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from schemas.errors import InvalidConfig
from schemas.evidence import Pace
from schemas.metrics import (
    BUILT_IN,
    FIRST_DECLARED_CODE,
    MAX_CODE,
    SHORT_LIVED,
    SLOW_ONLY,
    UPTIME,
    UPTIME_FAST_MS,
    UPTIME_SLOW_MS,
)
from schemas.router_config import HalfLives, RouterConfig, parse_config


def _milliseconds(half_life_s: float | None) -> int:
    return round(half_life_s * 1000) if half_life_s is not None else 0


@dataclass(frozen=True, slots=True)
class PinnedHalfLives:
    """Milliseconds; slow = 0: nothing is forgotten; fast = 0: no fast pace is kept."""

    quality_slow_ms: int
    quality_fast_ms: int
    latency_slow_ms: int
    latency_fast_ms: int

    @classmethod
    def of(cls, config: RouterConfig) -> Self:
        quality, latency = config.half_lives_s.quality, config.half_lives_s.latency
        return cls(*_pair(quality), *_pair(latency))

    def paces(self, metric: str) -> list[tuple[Pace, int]]:
        """The paces at which a metric is kept, each with its half-life in milliseconds."""
        if metric == UPTIME:
            return [("slow", UPTIME_SLOW_MS), ("fast", UPTIME_FAST_MS)]
        short = metric in SHORT_LIVED
        slow = self.latency_slow_ms if short else self.quality_slow_ms
        fast = self.latency_fast_ms if short else self.quality_fast_ms
        both: list[tuple[Pace, int]] = [("slow", slow)]
        if fast and metric not in SLOW_ONLY:
            both.append(("fast", fast))
        return both


def _pair(half_lives: HalfLives) -> tuple[int, int]:
    return _milliseconds(half_lives.slow), _milliseconds(half_lives.fast)


@dataclass(frozen=True)
class KnownRouter:
    """One router as one partition knows it."""

    router: str
    version: int
    config_text: str
    window_ms: int
    arms: tuple[str, ...]
    request_types: tuple[str, ...]
    declared_metrics: tuple[str, ...]
    signals: tuple[str, ...]
    half_lives: PinnedHalfLives

    @classmethod
    def first(cls, config: RouterConfig, version: int, config_text: str) -> Self:
        return cls(
            router=config.router,
            version=version,
            config_text=config_text,
            window_ms=round(config.attribution_window_s * 1000),
            arms=config.arm_names,
            request_types=config.request_types,
            declared_metrics=config.declared_metrics,
            signals=config.signals,
            half_lives=PinnedHalfLives.of(config),
        )

    def updated(self, config: RouterConfig, version: int, config_text: str) -> KnownRouter:
        """This router after a later event; itself when the event is older or the same.

        Raises InvalidConfig when the router would have declared more metrics than a turn can mark.
        """
        if (version, config_text) <= (self.version, self.config_text):
            return self
        metrics = _union(self.declared_metrics, config.declared_metrics)
        if len(metrics) > MAX_CODE - FIRST_DECLARED_CODE + 1:
            raise InvalidConfig(
                f"router {self.router!r} has declared {len(metrics)} metrics over all its versions;"
                f" at most {MAX_CODE - FIRST_DECLARED_CODE + 1} can be told apart: reuse a name"
            )
        return replace(
            self,
            version=version,
            config_text=config_text,
            window_ms=min(self.window_ms, round(config.attribution_window_s * 1000)),
            arms=_union(self.arms, config.arm_names),
            request_types=_union(self.request_types, config.request_types),
            declared_metrics=metrics,
            signals=_union(self.signals, config.signals),
        )

    def metric_code(self, metric: str) -> int | None:
        """The bit that marks a metric as counted; None for one that was never declared."""
        if metric in BUILT_IN:
            return BUILT_IN[metric][0]
        if metric in self.declared_metrics:
            return FIRST_DECLARED_CODE + self.declared_metrics.index(metric)
        return None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric this router can hold evidence of."""
        return (*BUILT_IN, *self.declared_metrics)

    @cached_property
    def configured(self) -> RouterConfig:
        """The configuration in force."""
        return parse_config(self.config_text)

    @cached_property
    def kept_paces(self) -> Sequence[tuple[int, Pace, int]]:
        """(metric code, pace, half-life in milliseconds) of every series this router keeps."""
        return [
            (code, pace, half_life_ms)
            for metric in self.metrics
            if (code := self.metric_code(metric)) is not None
            for pace, half_life_ms in self.half_lives.paces(metric)
        ]


def _union(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return known + tuple(name for name in more if name not in known)


# Routers by (partition, name). Values are immutable; the dict is replaced, never changed in place.
Routers = dict[tuple[int, str], KnownRouter]


def configure(routers: Routers, partition: int, version: int, config: RouterConfig) -> Routers:
    """The routers after one RouterConfigured event of `partition`.

    The kept text is the configuration in full, every default written out. Raises InvalidConfig.
    """
    text = config.model_dump_json()
    known = routers.get((partition, config.router))
    after = (
        known.updated(config, version, text) if known else KnownRouter.first(config, version, text)
    )
    return {**routers, (partition, config.router): after}
