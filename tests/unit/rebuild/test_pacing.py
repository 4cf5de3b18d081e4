"""How fast: a rate kept on average, and rest exactly while a running consumer is behind."""

from __future__ import annotations

import pytest

from consumer.rebuild.bounds import Range
from consumer.rebuild.crew import share_out
from consumer.rebuild.pacing import STANDSTILL_S, LagGuard, RateLimit


def test_a_rate_is_kept_on_average() -> None:
    limit, now_s, events = RateLimit(1000.0), 50.0, 0
    while now_s < 150.0:
        events += 300
        now_s += limit.delay_s(now_s, 300) + 0.01
    assert events == pytest.approx(100_000, rel=0.02)


def test_after_a_pause_a_second_may_be_caught_up_and_no_more() -> None:
    limit = RateLimit(100.0)
    assert limit.delay_s(1000.0, 100) == 0.0
    assert limit.delay_s(2000.0, 100) == 0.0
    assert limit.delay_s(2000.0, 100) == pytest.approx(1.0)
    assert limit.delay_s(3000.0, 250) == pytest.approx(1.5)


def test_without_a_rate_there_is_no_rest() -> None:
    assert RateLimit(0.0).delay_s(1.0, 10**9) == 0.0


def observed(guard: LagGuard, *samples: tuple[float, int, int]) -> list[bool]:
    return [guard.observe(*sample) for sample in samples]


def test_it_rests_while_a_running_consumer_is_behind() -> None:
    guard = LagGuard(max_lag=100)
    assert observed(
        guard,
        (0.0, 1000, 500),  # not seen moving yet
        (1.0, 1100, 500),
        (2.0, 1200, 90),  # not before half of it is left
        (3.0, 1300, 50),
        (4.0, 1400, 90),
        (5.0, 1500, 101),
    ) == [False, True, True, False, False, True]


def test_a_consumer_that_stands_still_is_not_waited_for() -> None:
    guard = LagGuard(max_lag=100)
    assert observed(
        guard,
        (0.0, 1000, 500),
        (1.0, 1001, 500),
        (1.0 + STANDSTILL_S / 2, 1001, 600),
        (1.0 + STANDSTILL_S, 1001, 700),
        (2.0 + STANDSTILL_S, 1002, 700),
    ) == [False, True, True, False, True]


def test_no_limit_no_rest() -> None:
    guard = LagGuard(max_lag=0)
    assert not any(observed(guard, (0.0, 1, 10**9), (1.0, 2, 10**9)))


def test_partitions_are_shared_out_by_their_size() -> None:
    ranges = {p: Range(0, size) for p, size in enumerate((900, 100, 500, 400, 0))}
    groups = share_out(ranges, 2)
    assert sorted(sorted(group) for group in groups) == [[0, 1], [2, 3, 4]]
    assert {p: r for group in groups for p, r in group.items()} == ranges
    assert len(share_out(ranges, 64)) == 5
    assert share_out({0: Range(5, 5)}, 3) == [{0: Range(5, 5)}]
