"""Shares of evidence: which replace which, how they merge, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest

from router_api.routing.state import Counts, PartitionProgress, RouterState, ShareKey
from schemas.events import Progress
from schemas.evidence import SeriesKey, Sums, era, weight
from tests.snapshots import AS_OF_MS, observed, snapshot, state_of

KEY = SeriesKey("a", "quality", "slow", 0, 0)
HOUR_MS = 3_600_000


def mean_of(state: RouterState, request_type: str = "general", arm: str = "a") -> float | None:
    """Mean of an arm's quality, as a share of 1."""
    metrics = state.of(request_type).read().metrics
    mean = metrics[arm]["quality"].ruling.mean if arm in metrics else None
    return None if mean is None else mean / 1024


# Which share replaces which


def test_later_offset_replaces() -> None:
    state = state_of(snapshot(observed("a", [0.0]), source_offset=10))

    assert state.apply(snapshot(observed("a", [1.0]), source_offset=11), 5)

    assert mean_of(state) == 1.0
    assert state.of("general").read().version == "11.-.-.-"


@pytest.mark.parametrize(
    ("epoch", "source_offset"),
    [
        pytest.param(3, 10, id="the same again"),
        pytest.param(3, 9, id="older"),
        pytest.param(2, 999, id="from a fenced writer that went on"),
    ],
)
def test_stale_share_is_ignored(epoch: int, source_offset: int) -> None:
    state = state_of(snapshot(observed("a", [1.0]), epoch=3, source_offset=10))
    revision = state.of("general").revision

    assert not state.apply(
        snapshot(observed("a", [0.0]), epoch=epoch, source_offset=source_offset), 5
    )

    assert mean_of(state) == 1.0
    assert state.of("general").revision == revision


def test_new_writer_may_start_further_back() -> None:
    state = state_of(snapshot(observed("a", [0.0]), epoch=3, source_offset=10))

    assert state.apply(snapshot(observed("a", [1.0]), epoch=4, source_offset=2), 5)

    assert mean_of(state) == 1.0


def test_tombstone_removes_a_share_and_its_position() -> None:
    state = state_of(
        snapshot(observed("a", [0.0]), epoch=9), snapshot(observed("a", [1.0]), partition=1)
    )

    assert state.remove("general", 0)
    assert mean_of(state) == 1.0
    assert not state.remove("general", 0)
    assert not state.remove("unheard_of", 0)
    # Nothing is remembered of what is gone: a fresh replica could not either.
    assert state.apply(snapshot(observed("a", [1.0]), epoch=1), 5)


def test_revision_counts_changes_of_its_own_type_only() -> None:
    state = state_of(snapshot(), snapshot(request_type="writing"))
    before = state.of("general").revision

    state.apply(snapshot(request_type="writing", source_offset=2), 5)
    assert state.of("general").revision == before

    state.remove("general", 0)
    assert state.of("general").revision == before + 1


# How shares merge


def test_partitions_are_summed() -> None:
    state = state_of(
        snapshot(observed("a", [1.0, 1.0, 1.0])), snapshot(observed("a", [0.0]), partition=2)
    )

    reading = state.of("general").read()

    assert mean_of(state) == 0.75
    assert reading.metrics["a"]["quality"].slow.n == 4.0
    assert reading.version == "1.-.1.-"


def test_reading_time_is_that_of_the_latest_share() -> None:
    old_ms = AS_OF_MS - HOUR_MS
    state = state_of(
        snapshot(observed("a", [1.0], at_ms=old_ms, half_life_ms=HOUR_MS), as_of_ms=old_ms),
        snapshot(observed("a", [0.0], half_life_ms=HOUR_MS), partition=1),
    )

    reading = state.of("general").read()

    assert reading.as_of_ms == AS_OF_MS
    # One half-life old: it counts half, and half of 1 in 1.5 is a third.
    assert mean_of(state) == pytest.approx(1 / 3, rel=1e-3)


def test_faded_evidence_is_not_part_of_a_reading() -> None:
    ages_ago_ms = AS_OF_MS - 100 * HOUR_MS
    state = state_of(
        snapshot(
            {
                **observed("a", [1.0], half_life_ms=HOUR_MS, at_ms=ages_ago_ms),
                **observed("a", [0.0], half_life_ms=HOUR_MS),
            }
        )
    )

    assert [key.era for key in state.of("general").read().evidence] == [era(AS_OF_MS, HOUR_MS)]


def test_age_is_that_of_the_newest_evidence() -> None:
    state = RouterState()
    assert state.applied_at_ms() is None
    assert state.of("general").read().applied_at_ms is None

    state.apply(snapshot(), 100)
    state.apply(snapshot(partition=1), 300)
    state.apply(snapshot(partition=0, source_offset=2), 200)

    assert state.of("general").read().applied_at_ms == 300
    assert state.applied_at_ms() == 300


def test_version_has_a_place_for_every_partition() -> None:
    assert state_of().of("general").read().version == "-.-.-.-"
    more = state_of(snapshot(partition=5, source_offset=7))
    assert more.of("general").read().version == "-.-.-.-.-.7"


def test_counts_are_summed_over_types_and_partitions() -> None:
    state = state_of(
        snapshot(folded=10, duplicates=2, late=1),
        snapshot(folded=5, duplicates=1, late=0, partition=3),
        snapshot(folded=100, duplicates=0, late=4, request_type="writing"),
    )

    assert state.counts() == Counts(folded=115, duplicates=3, late=5)
    assert state_of().counts() == Counts(0, 0, 0)


def test_digest_depends_on_evidence_only() -> None:
    rows = observed("a", [1.0, 0.5])
    parts = [
        snapshot(observed("a", [1.0])),
        snapshot(observed("a", [0.5]), partition=3, epoch=7, source_offset=99),
    ]

    assert state_of(*parts).digest() == state_of(snapshot(rows)).digest()
    assert (
        state_of(snapshot(rows, request_type="writing")).digest()
        != state_of(snapshot(rows)).digest()
    )
    assert (
        state_of(snapshot(observed("a", [1.0, 0.25]))).digest() != state_of(snapshot(rows)).digest()
    )


def test_digest_of_nothing_is_the_same_however_it_came_to_be() -> None:
    forgotten = state_of(snapshot(observed("a", [1.0])))
    forgotten.remove("general", 0)
    retracted = state_of(snapshot({KEY: Sums(0, 0, 0)}))

    assert forgotten.digest() == retracted.digest() == RouterState().digest()


# What is refused

W = weight(AS_OF_MS, 0)
FUTURE = SeriesKey("a", "quality", "fast", HOUR_MS, era(AS_OF_MS, HOUR_MS) + 1)
nan: Any = math.nan
infinite: Any = math.inf


@pytest.mark.parametrize(
    ("key", "sums"),
    [
        pytest.param(KEY, Sums(-W, 0, 0), id="fewer than no observations"),
        pytest.param(KEY, Sums(W, -1, 0), id="a sum below 0"),
        pytest.param(KEY, Sums(W, W * 1024 + 1, 0), id="a mean above 1"),
        pytest.param(KEY, Sums(0, 1, 0), id="a sum of nothing"),
        pytest.param(KEY, Sums(W, W, -1), id="a sum of squares below 0"),
        pytest.param(KEY, Sums(W, W, W * 1024 + 1), id="squares larger than values allow"),
        pytest.param(KEY, Sums(1 << 2000, 0, 0), id="more than a double can hold"),
        pytest.param(KEY, Sums(nan, nan, nan), id="not a number"),
        pytest.param(KEY, Sums(infinite, infinite, infinite), id="infinite"),
        pytest.param(KEY._replace(half_life_ms=-1), Sums(W, 0, 0), id="a negative half-life"),
        pytest.param(FUTURE, Sums(W, 0, 0), id="from an era that has not begun"),
        pytest.param(
            KEY._replace(metric="latency_ms"), Sums(W, W * 2000, 0), id="a latency of months"
        ),
    ],
)
def test_impossible_row_is_refused_and_the_rest_kept(key: SeriesKey, sums: Sums) -> None:
    good = observed("b", [1.0])

    state = state_of(snapshot({key: sums, **good}))

    assert state.refused_rows == 1
    assert dict(state.of("general").read().evidence) == good
    assert mean_of(state, arm="b") == 1.0


def test_extreme_but_possible_rows_are_kept() -> None:
    rows = {
        KEY: Sums(W, W * 1024, W * 1024 * 1024),
        KEY._replace(arm="b"): Sums(1 << 96, 0, 0),
        KEY._replace(metric="tokens_in"): Sums(W, W * (2**31 - 1), W * (2**31 - 1) ** 2),
        KEY._replace(half_life_ms=1, era=-(10**9)): Sums(W, 0, 0),
    }

    state = state_of(snapshot(rows))

    assert state.refused_rows == 0
    assert set(state.of("general").read().metrics) == {"a", "b"}


@pytest.mark.parametrize(
    "fields",
    [
        {"partition": -1},
        {"partition": 2**31 - 1},
        {"epoch": -1},
        {"source_offset": -1},
        {"as_of_ms": -1},
        {"as_of_ms": 2**62},
    ],
)
def test_impossible_snapshot_is_refused(fields: dict[str, int]) -> None:
    state = state_of(snapshot(observed("a", [1.0])))
    before = state.digest(), state.of("general").read().version

    assert not state.apply(snapshot(observed("a", [0.0]), **{"source_offset": 5, **fields}), 9)

    assert (state.digest(), state.of("general").read().version) == before
    assert state.refused_snapshots == 1


# Keys and progress


def test_share_key_is_read_back_from_its_record() -> None:
    original = snapshot(router="chat.v2", request_type="writing", partition=11)
    assert ShareKey.parse(original.key) == ShareKey.of(original) == ("chat.v2", "writing", 11)


@pytest.mark.parametrize(
    "key", [b"", b"r", b"r/general", b"r/general/", b"r/general/x", b"/progress/3", b"\xff\xfe/a/b"]
)
def test_other_keys_are_no_share_keys(key: bytes) -> None:
    assert ShareKey.parse(key) is None


def test_endless_partition_number_is_no_share_key() -> None:
    assert ShareKey.parse(b"r/general/" + b"9" * 10_000) is None


def test_progress_only_advances() -> None:
    def at(epoch: int, next_offset: int, dead: int) -> Progress:
        return Progress(
            partition=1,
            epoch=epoch,
            next_offset=next_offset,
            folded=0,
            duplicates=0,
            late=0,
            dead=dead,
            stream_time_ms=0,
        )

    progress = PartitionProgress()

    assert progress.apply(at(2, 10, dead=3))
    assert not progress.apply(at(2, 10, dead=9))
    assert not progress.apply(at(1, 99, dead=9))
    assert progress.dead == 3
    assert progress.apply(at(3, 4, dead=5))
    assert progress.dead == 5
    assert progress.remove(1)
    assert progress.dead == 0
