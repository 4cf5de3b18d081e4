"""Prometheus metrics of the consumer."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BATCH_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class ConsumerMetrics:
    """One set of metrics, in a registry of the caller's choice."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.events = Counter(
            "routefold_consumer_events",
            "Events by what became of them: folded, duplicate, late, dead",
            ["fate"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "routefold_consumer_dead_letters",
            "Records that can't be folded, by reason",
            ["reason"],
            registry=registry,
        )
        self.refused_rows = Counter(
            "routefold_consumer_refused_rows",
            "Evidence rows in Postgres that could not be evidence, and were left out",
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "routefold_consumer_batch_seconds",
            "Time from a batch's bytes to its commit",
            buckets=_BATCH_SECONDS,
            registry=registry,
        )
        self.next_offset = Gauge(
            "routefold_consumer_next_offset",
            "Everything before it is folded and committed",
            ["partition"],
            registry=registry,
        )
        self.lag = Gauge(
            "routefold_consumer_lag",
            "Records in the log that are not yet folded",
            ["partition"],
            registry=registry,
        )
        self.snapshots = Counter(
            "routefold_consumer_snapshots", "Snapshots published", registry=registry
        )
        self.generation = Gauge(
            "routefold_consumer_generation",
            "Number of the generation that is written: how many promotes and rollbacks there were",
            registry=registry,
        )
        self.interruptions = Counter(
            "routefold_consumer_interruptions",
            "Times a server went away and the partitions were taken again",
            ["server"],
            registry=registry,
        )
