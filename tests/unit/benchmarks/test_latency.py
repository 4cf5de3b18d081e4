"""The closed loop of the latency benchmark, and that ours finds the fast deployments in it."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from benchmarks.latency import CLIENTS, FAST, SLOW, Lognormal, Ours, moved_after, requests, share


def test_times_have_their_mean_and_percentile() -> None:
    rng = random.Random(1)
    times = sorted(Lognormal(1588, 2243).sample(rng) for _ in range(20_000))
    assert fmean(times) == pytest.approx(1588, rel=0.02)
    assert times[19_000] == pytest.approx(2243, rel=0.03)


def test_moved_after_counts_to_the_end_of_the_first_window() -> None:
    assert moved_after([FAST[0]] * 100 + [SLOW[0]] * 60, SLOW) == 140
    assert moved_after([FAST[0]] * 100, SLOW) == 100


def test_the_fast_ones_are_found_and_left_when_they_are_slow() -> None:
    ours = Ours(0, replicas=2, shuffle=True)
    picked = list(requests(ours, random.Random(0), 1300, slowed=range(800, 1300), late=True))
    assert max(picked[:CLIENTS].count(name) for name in (*SLOW, *FAST)) <= 8
    assert share(picked[400:800], FAST) >= 95
    assert max(picked[400:800].count(name) for name in FAST) <= 160
    assert moved_after(picked[800:], SLOW) <= 300
