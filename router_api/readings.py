"""Values that the directory, the subscriber and the publisher keep, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator

from producer.publisher import PublisherStats
from router_api.directory import Directory
from router_api.intake import BadRecords
from router_api.metrics import Reading


def learning(
    directory: Directory, bad_records: BadRecords, connected: bool, now_ms: int
) -> Iterator[Reading]:
    """What routers know, how old it is, and what could not be taken in."""
    ages = [
        ((name,), max(0, now_ms - applied_at_ms) / 1000)
        for name, router in directory.routers.items()
        if (applied_at_ms := router.state.applied_at_ms()) is not None
    ]
    yield Reading(
        "routefold_snapshot_age_seconds",
        "Since the newest evidence of a router was applied",
        False,
        ("router",),
        ages,
    )
    yield _gauge(
        "routefold_state_followed",
        "1 while the state follows the log, 0 while it is only kept in memory",
        connected,
    )
    yield _gauge(
        "routefold_state_generation",
        "Number of the generation that picks are made from: the promotes and rollbacks so far",
        directory.generation,
    )
    yield _counter(
        "routefold_refused_evidence_rows",
        "Rows of snapshots that could not be evidence",
        directory.refused_rows,
    )
    yield _counter(
        "routefold_refused_snapshots",
        "Snapshots with an impossible position or time",
        directory.refused_snapshots,
    )
    yield _counter(
        "routefold_unlearned_choice_tables",
        "Choice tables made from the priors because the posteriors could not be integrated",
        directory.unlearned_tables,
    )
    yield Reading(
        "routefold_bad_state_records",
        "Records of the routers and snapshots topics that were skipped",
        True,
        ("kind",),
        [((kind,), count) for kind, count in bad_records.counts.items()],
    )


def publishing(stats: PublisherStats) -> Iterator[Reading]:
    """What became of events, and what waits."""
    yield _counter("routefold_events_published", "Events the broker has taken", stats.published)
    yield _counter("routefold_events_spooled", "Events the local spool has taken", stats.spooled)
    yield _counter("routefold_events_replayed", "Events sent from the spool", stats.replayed)
    yield _counter("routefold_events_refused", "Events that can never be sent", stats.refused)
    yield _counter("routefold_events_dropped", "Events that nobody has taken", stats.dropped)
    yield _gauge("routefold_publisher_queue", "Events that wait in memory", stats.queued)
    yield _gauge("routefold_spool_events", "Events that wait in the spool", stats.spool_events)
    yield _gauge("routefold_spool_bytes", "Size of what waits in the spool", stats.spool_bytes)
    yield _gauge("routefold_publisher_online", "1 while the broker takes events", stats.online)


def _counter(name: str, text: str, value: float) -> Reading:
    return Reading(name, text, True, (), [((), value)])


def _gauge(name: str, text: str, value: float) -> Reading:
    return Reading(name, text, False, (), [((), value)])
