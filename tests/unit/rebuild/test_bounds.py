"""From where to where: what is written on the command line, and what the log has of it."""

from __future__ import annotations

import pytest

from consumer.rebuild.bounds import Bound, Range, ranges
from consumer.rebuild.errors import RebuildRefused

LOG = {0: Range(0, 100), 1: Range(0, 80), 2: Range(20, 90)}


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("500", Bound(everywhere=500)),
        (" 0 ", Bound(everywhere=0)),
        ("1:480,0:500", Bound(offsets=((0, 500), (1, 480)))),
        ("1970-01-01T00:00:01Z", Bound(time_ms=1000)),
        ("1970-01-01T01:00:00.250+01:00", Bound(time_ms=250)),
        ("1970-01-02", Bound(time_ms=86_400_000)),
        ("1970-01-01 00:00:02", Bound(time_ms=2000)),
    ],
)
def test_times_and_offsets_are_told_apart(text: str, bound: Bound) -> None:
    assert Bound.parse(text) == bound
    assert Bound.parse(str(bound)) == bound


@pytest.mark.parametrize("text", ["", "soon", "-5", "0:5,0:6", "0:5,", "1e3", "2026-13-01"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(RebuildRefused, match=r"twice|neither a time"):
        Bound.parse(text)


def test_a_bound_names_an_offset_of_every_partition() -> None:
    whole = {0: 100, 1: 80, 2: 90}
    assert Bound(everywhere=7).resolve(whole, {}) == {0: 7, 1: 7, 2: 7}
    assert Bound(offsets=((1, 7),)).resolve(whole, {}) == {0: 100, 1: 7, 2: 90}
    assert Bound(time_ms=5).resolve(whole, {0: 1, 1: 2, 2: 3}) == {0: 1, 1: 2, 2: 3}
    with pytest.raises(RebuildRefused, match="no partition 3: the topic has 3"):
        Bound(offsets=((3, 7),)).resolve(whole, {})


def test_ranges_within_the_log() -> None:
    starts, ends = {0: 0, 1: 80, 2: 20}, {0: 100, 1: 80, 2: 90}
    assert ranges("t", LOG, starts, ends) == {
        0: Range(0, 100),
        1: Range(80, 80),
        2: Range(20, 90),
    }


@pytest.mark.parametrize(
    ("starts", "ends", "message"),
    [
        ({2: 19}, {}, r"partition 2 of t begins at offset 20.*--from 2:20"),
        ({}, {1: 81}, r"partition 1 of t ends at offset 80, before 81"),
        ({0: 60}, {0: 50}, "--from must come before --until"),
        ({0: 100, 1: 80, 2: 90}, {}, "no events of t"),
    ],
)
def test_what_the_log_lacks_is_named(
    starts: dict[int, int], ends: dict[int, int], message: str
) -> None:
    wanted_starts = {0: 0, 1: 0, 2: 20} | starts
    wanted_ends = {0: 100, 1: 80, 2: 90} | ends
    with pytest.raises(RebuildRefused, match=message):
        ranges("t", LOG, wanted_starts, wanted_ends)
