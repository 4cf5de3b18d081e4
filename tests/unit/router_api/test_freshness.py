"""From acceptance to use, on a hand-cranked clock."""

from __future__ import annotations

import pytest

from router_api.freshness import MAX_PENDING_PER_SHARE, MAX_SAMPLES, Freshness, FreshnessTracker
from router_api.routing.state import ShareKey
from schemas.events import Progress

SHARE = ShareKey("r", "general", 0)


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def progress(next_offset: int, partition: int = 0) -> Progress:
    return Progress(
        partition=partition,
        epoch=1,
        next_offset=next_offset,
        folded=0,
        duplicates=0,
        late=0,
        dead=0,
        stream_time_ms=0,
    )


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tracker(clock: Clock) -> FreshnessTracker:
    return FreshnessTracker(clock)


def test_measures_until_a_snapshot_counts_the_outcome(
    tracker: FreshnessTracker, clock: Clock
) -> None:
    tracker.accepted(SHARE, 7)
    clock.seconds += 0.05
    tracker.share_applied(SHARE, 7)  # counts everything before 7
    assert tracker.of("r").samples == 0
    clock.seconds += 0.05
    tracker.share_applied(SHARE, 8)

    assert tracker.of("r") == pytest.approx((100, 100, 1))


def test_other_shares_do_not_count(tracker: FreshnessTracker) -> None:
    tracker.accepted(SHARE, 7)
    tracker.share_applied(SHARE._replace(partition=1), 100)
    tracker.share_applied(SHARE._replace(request_type="writing"), 100)
    tracker.share_applied(SHARE._replace(router="q"), 100)
    assert tracker.of("r") == Freshness(None, None, 0)


def test_answers_of_the_broker_may_come_out_of_order(
    tracker: FreshnessTracker, clock: Clock
) -> None:
    tracker.accepted(SHARE, 20)
    tracker.accepted(SHARE, 10)
    clock.seconds += 1
    tracker.share_applied(SHARE, 15)
    assert tracker.of("r").samples == 1


def test_snapshot_that_overtakes_the_answer_is_no_delay(tracker: FreshnessTracker) -> None:
    tracker.share_applied(SHARE, 8)
    tracker.accepted(SHARE, 7)
    assert tracker.of("r") == Freshness(0.0, 0.0, 1)


def test_outcome_that_brought_nothing_does_not_measure_the_quiet_after_it(
    tracker: FreshnessTracker, clock: Clock
) -> None:
    tracker.accepted(SHARE, 7)
    tracker.progressed(progress(8))  # folded, and no snapshot of it
    tracker.progressed(progress(9))
    clock.seconds += 3600
    tracker.accepted(SHARE, 20)
    clock.seconds += 0.1
    tracker.share_applied(SHARE, 21)

    assert tracker.of("r") == pytest.approx((100, 100, 1))


def test_progress_may_overtake_its_snapshots(tracker: FreshnessTracker, clock: Clock) -> None:
    tracker.progressed(progress(5))
    tracker.accepted(SHARE, 7)
    tracker.progressed(progress(8))
    tracker.progressed(progress(99, partition=1))
    clock.seconds += 0.2
    tracker.share_applied(SHARE, 8)
    assert tracker.of("r").samples == 1


def test_percentiles_of_the_last_samples(clock: Clock) -> None:
    seen: list[float] = []
    tracker = FreshnessTracker(clock, seen.append)
    for milliseconds in range(MAX_SAMPLES + 100):
        tracker.accepted(SHARE, milliseconds)
        clock.seconds += milliseconds / 1000
        tracker.share_applied(SHARE, milliseconds + 1)

    found = tracker.of("r")
    assert found.samples == MAX_SAMPLES
    assert found.p50 == pytest.approx(100 + MAX_SAMPLES / 2)
    assert found.p99 == pytest.approx(100 + MAX_SAMPLES * 0.99)
    assert len(seen) == MAX_SAMPLES + 100
    assert seen[5] == pytest.approx(0.005)


def test_pending_outcomes_are_bounded(tracker: FreshnessTracker) -> None:
    for offset in range(MAX_PENDING_PER_SHARE + 500):
        tracker.accepted(SHARE, offset)
    tracker.share_applied(SHARE, 10**9)
    assert tracker.of("r").samples == MAX_PENDING_PER_SHARE
