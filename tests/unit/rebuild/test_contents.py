"""Digests and differences: blind to what has decayed, to nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consumer.fold import Counts, ShareKey
from consumer.rebuild.contents import (
    Contents,
    Folded,
    count_differences,
    digest_of_all,
    row_differences,
)
from schemas.evidence import KEPT_ERAS, SeriesKey, Sums, era

SHARE = ShareKey(0, "r", "general")
NOW = 1_760_000_000_000
MINUTE = 60_000
SERIES = SeriesKey("a", "quality", "fast", MINUTE, era(NOW, MINUTE))


def contents(**rows: Sums) -> Contents:
    """One share; each row is named by how many eras ago it was: `e0`, `e9`."""
    evidence = {SERIES._replace(era=SERIES.era - int(n[1:])): sums for n, sums in rows.items()}
    return Contents(
        0, Folded(10, 5, 1, 0, 0, NOW), {SHARE: Counts(5, 1, 0, NOW)}, {SHARE: evidence}
    )


BASE = contents(e0=Sums(1, 2, 3), e3=Sums(4, 5, 6))


def test_what_a_consumer_may_have_dropped_is_not_seen() -> None:
    older = contents(e0=Sums(1, 2, 3), e3=Sums(4, 5, 6), **{f"e{KEPT_ERAS + 1}": Sums(7, 8, 9)})
    assert older.digest() == BASE.digest()
    assert row_differences(BASE, older) == []
    just_kept = contents(e0=Sums(1, 2, 3), e3=Sums(4, 5, 6), **{f"e{KEPT_ERAS}": Sums(7, 8, 9)})
    assert just_kept.digest() != BASE.digest()
    assert len(row_differences(BASE, just_kept)) == 1


def test_rows_of_nothing_are_absent_rows() -> None:
    taken_back = contents(e0=Sums(1, 2, 3), e3=Sums(4, 5, 6), e1=Sums(0, 0, 0))
    assert taken_back.digest() == BASE.digest()
    assert row_differences(BASE, taken_back) == []


@pytest.mark.parametrize("changed", [Sums(2, 2, 3), Sums(1, 3, 3), Sums(1, 2, 4)])
def test_any_changed_sum_is_seen_and_named(changed: Sums) -> None:
    other = contents(e0=changed, e3=Sums(4, 5, 6))
    assert other.digest() != BASE.digest()
    (row,) = row_differences(BASE, other)
    assert (row.share, row.series, row.live, row.rebuilt) == (SHARE, SERIES, Sums(1, 2, 3), changed)


@pytest.mark.parametrize("name", ["folded", "duplicates", "late", "as_of_ms"])
def test_any_changed_count_is_seen_and_named(name: str) -> None:
    counts = replace(BASE.counts[SHARE], **{name: getattr(BASE.counts[SHARE], name) + 1})
    other = replace(BASE, counts={SHARE: counts})
    assert other.digest() != BASE.digest()
    (found,) = count_differences(BASE, other)
    assert (found.share, found.name, found.rebuilt - found.live) == (SHARE, name, 1)


@pytest.mark.parametrize("name", Folded._fields)
def test_any_changed_progress_is_seen_and_named(name: str) -> None:
    progress = BASE.progress._replace(**{name: 99})
    other = replace(BASE, progress=progress)
    assert other.digest() != BASE.digest()
    (found,) = count_differences(BASE, other)
    assert (found.share, found.name, found.rebuilt) == (None, name, 99)


def test_an_arm_that_was_seen_later_is_a_difference() -> None:
    counts = replace(BASE.counts[SHARE], seen_ms={"a": NOW})
    other = replace(BASE, counts={SHARE: counts})
    assert other.digest() != BASE.digest()
    (found,) = count_differences(BASE, other)
    assert (found.name, found.live, found.rebuilt) == ("seen_ms of a", 0, NOW)


def test_the_digest_of_all_depends_on_every_partition() -> None:
    other = replace(BASE, partition=1)
    assert digest_of_all({0: BASE, 1: other}) != digest_of_all({0: BASE})
    changed = replace(other, progress=other.progress._replace(dead=1))
    assert digest_of_all({0: BASE, 1: other}) != digest_of_all({0: BASE, 1: changed})
