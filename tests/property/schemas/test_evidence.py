"""Evidence arithmetic: exact integers that read as exponential decay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.evidence import (
    POW2,
    SeriesKey,
    Sums,
    digest,
    era,
    read_at,
    visible,
    weight,
)
from schemas.snapshot import Snapshot
from tests.factories import T0
from tests.oracle import pow2

TIMES = st.integers(T0, T0 + 10**9)
HALF_LIVES = st.sampled_from([100, 5_000, 60_000, 1_800_000, 86_400_000, 10**11])
SUMS = st.builds(Sums, st.integers(-(2**90), 2**90), st.integers(0, 2**90), st.integers(0, 2**90))


def test_the_weight_table_is_exact() -> None:
    assert [pow2(i) for i in range(0, 1024, 31)] == list(POW2[::31])
    assert POW2[0] == 65536
    assert POW2[512] == 92682


@given(TIMES, HALF_LIVES)
def test_an_observation_counts_one_when_read_at_its_own_time(t: int, half_life: int) -> None:
    w = weight(t, half_life)
    rows = {era(t, half_life): Sums(w, w * 700, w * 700 * 700)}
    read = read_at(rows, half_life, t)
    assert read.n == pytest.approx(1.0, rel=1e-12)
    assert read.mean == pytest.approx(700.0, rel=1e-12)


@given(TIMES, HALF_LIVES, st.floats(0, 14.9))
def test_it_counts_half_after_a_half_life(t: int, half_life: int, ages: float) -> None:
    later = t + int(ages * half_life)
    w = weight(t, half_life)
    read = read_at({era(t, half_life): Sums(w, w, w)}, half_life, later)
    # one tick of 1/1024 half-life, and 16 bits of a weight, are the resolution
    assert read.n == pytest.approx(2.0 ** -((later - t) / half_life), rel=3e-3)


@given(TIMES, HALF_LIVES)
def test_what_is_no_longer_read_had_decayed_to_nothing(t: int, half_life: int) -> None:
    w = weight(t, half_life)
    later = t + 33 * half_life
    assert read_at({era(t, half_life): Sums(w, w, w)}, half_life, later).n < 2**-16


@given(TIMES, TIMES)
def test_without_a_half_life_nothing_is_forgotten(t: int, later: int) -> None:
    assert read_at({0: Sums(weight(t, 0) * 3, 0, 0)}, 0, later).n == 3.0


@given(SUMS, SUMS, SUMS)
def test_sums_form_a_group(a: Sums, b: Sums, c: Sums) -> None:
    assert a.plus(b) == b.plus(a)
    assert a.plus(b).plus(c) == a.plus(b.plus(c))
    assert a.plus(b).minus(b) == a


KEYS = st.builds(
    SeriesKey,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["quality", "success"]),
    st.sampled_from(["slow", "fast"]),
    st.sampled_from([0, 1000]),
    st.integers(0, 3),
)


@given(st.dictionaries(KEYS, SUMS), st.randoms(use_true_random=False))
def test_the_digest_depends_on_the_evidence_alone(
    evidence: dict[SeriesKey, Sums], rng: object
) -> None:
    items = list(evidence.items())
    rng.shuffle(items)  # type: ignore[attr-defined]
    gone = SeriesKey("c", "quality", "slow", 0, 0)
    assert digest(dict(items)) == digest(evidence) == digest({**evidence, gone: Sums(0, 0, 0)})
    if items:
        key, sums = items[0]
        assert digest({**evidence, key: sums.plus(Sums(1, 0, 0))}) != digest(evidence)


@given(TIMES)
def test_visible_keys_are_those_that_are_read(now: int) -> None:
    keys = [SeriesKey("a", "m", "slow", 1000, era(now, 1000) - age) for age in range(4)]
    keys.append(SeriesKey("a", "m", "slow", 0, 0))
    seen = visible(keys, now, {})
    assert {k.era for k in seen if k.half_life_ms} == {era(now, 1000), era(now, 1000) - 1}
    assert any(k.half_life_ms == 0 for k in seen)


def test_an_arm_is_read_at_its_own_latest_turn() -> None:
    keys = [SeriesKey(arm, "m", "fast", 1000, era(T0, 1000)) for arm in "ab"]
    much_later = T0 + 3_600_000
    assert visible(keys, much_later, {"a": T0, "b": much_later}) == keys[:1]


@given(st.dictionaries(KEYS, SUMS))
def test_evidence_of_any_size_survives_the_wire(evidence: dict[SeriesKey, Sums]) -> None:
    snapshot = Snapshot(
        router="r",
        request_type="general",
        partition=3,
        epoch=2,
        source_offset=7,
        as_of_ms=T0,
        folded=5,
        duplicates=1,
        late=0,
        seen_ms={key.arm: T0 for key in evidence},
        evidence=evidence,
    )
    assert decode(encode(snapshot)) == snapshot
