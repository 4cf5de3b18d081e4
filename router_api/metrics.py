"""What Prometheus is told about routing. One instance per service, on a registry of its own.

Counters that others keep anyway (the publisher, the subscriber, the directory) are read when they
are scraped, so that they cost a pick nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# A pick takes some 20 µs; one that builds a table takes 1 to 20 ms.
_PICK_BUCKETS_S: Final = (1e-5, 2e-5, 5e-5, 1e-4, 5e-4, 2e-3, 1e-2, 5e-2)
# Promised: half within 150 ms, 99 % within a second.
_FRESHNESS_BUCKETS_S: Final = (0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Reading(NamedTuple):
    """A value that somebody else keeps: its name, what it is, and a value per label set."""

    name: str
    help: str
    is_counter: bool
    labels: tuple[str, ...]
    values: Iterable[tuple[tuple[str, ...], float]]


class Metrics:
    """The metrics of one service. `registry` is where they are, for exposition."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """On a new registry if none is given. One registry can't hold two services' metrics."""
        self.registry: Final = registry or CollectorRegistry()
        self._picks = Counter(
            "routefold_picks",
            "Picks, by what was chosen",
            ("router", "request_type", "arm"),
            registry=self.registry,
        )
        self._no_eligible_arm = Counter(
            "routefold_no_eligible_arm",
            "Pick requests whose constraints left no arm",
            ("router",),
            registry=self.registry,
        )
        self.pick_seconds: Final = Histogram(
            "routefold_pick_seconds",
            "Time for a pick, without HTTP",
            buckets=_PICK_BUCKETS_S,
            registry=self.registry,
        )
        self._outcomes = Counter(
            "routefold_outcomes_accepted",
            "Outcomes that the broker or the spool has taken",
            ("router",),
            registry=self.registry,
        )
        self.freshness_seconds: Final = Histogram(
            "routefold_freshness_seconds",
            "From an outcome's acceptance to its use in picks",
            buckets=_FRESHNESS_BUCKETS_S,
            registry=self.registry,
        )
        self.classifier_failures: Final = Counter(
            "routefold_classifier_failures",
            "Requests whose type the classifier failed to name; the default was used",
            registry=self.registry,
        )
        self.detector_failures: Final = Counter(
            "routefold_detector_failures",
            "Requests whose signals the detector failed to find; none were noted",
            registry=self.registry,
        )
        # labels() validates and locks: 1 µs that a pick need not spend.
        self._pick_children: dict[tuple[str, str, str], Counter] = {}

    def picked(self, router: str, request_type: str, arm: str) -> None:
        """Count a pick."""
        key = router, request_type, arm
        child = self._pick_children.get(key)
        if child is None:
            child = self._pick_children[key] = self._picks.labels(*key)
        child.inc()

    def no_eligible_arm(self, router: str) -> None:
        """Count a pick request without an eligible arm."""
        self._no_eligible_arm.labels(router).inc()

    def outcome_accepted(self, router: str) -> None:
        """Count an accepted outcome."""
        self._outcomes.labels(router).inc()

    def read_from(self, readings: Callable[[], Iterable[Reading]]) -> None:
        """Ask `readings` for more values at every scrape."""
        self.registry.register(_AtScrape(readings))


class _AtScrape(Collector):
    def __init__(self, readings: Callable[[], Iterable[Reading]]) -> None:
        self._readings = readings

    def describe(self) -> Iterable[Metric]:
        # Names of values are known at scrape only; this keeps the registry from asking too early.
        return ()

    def collect(self) -> Iterator[Metric]:
        for reading in self._readings():
            family = CounterMetricFamily if reading.is_counter else GaugeMetricFamily
            metric = family(reading.name, reading.help, labels=reading.labels)
            for labels, value in reading.values:
                metric.add_metric(labels, value)
            yield metric
