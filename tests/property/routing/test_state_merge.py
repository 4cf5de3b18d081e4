"""The state is a pure function of what was last said about each share, in whatever order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from router_api.routing.router import Router
from router_api.routing.state import RouterState
from schemas.evidence import SeriesKey, Sums, era, weight
from schemas.snapshot import Snapshot
from tests.factories import config
from tests.snapshots import AS_OF_MS, snapshot, state_of

unhurried = settings(deadline=None, max_examples=60)  # a busy machine is no failure

HALF_LIVES_MS = (0, 1000, 3_600_000)
METRICS = ("quality", "error", "latency_ms", "tokens_in")


@st.composite
def rows(draw: st.DrawFn, as_of_ms: int) -> dict[SeriesKey, Sums]:
    """Evidence of observations made up to that time, each at one moment."""
    evidence: dict[SeriesKey, Sums] = {}
    for _ in range(draw(st.integers(0, 6))):
        half_life_ms = draw(st.sampled_from(HALF_LIVES_MS))
        at_ms = as_of_ms - draw(st.integers(0, 60 * 3_600_000))
        key = SeriesKey(
            draw(st.sampled_from("abc")),
            draw(st.sampled_from(METRICS)),
            draw(st.sampled_from(("slow", "fast"))),
            half_life_ms,
            era(at_ms, half_life_ms),
        )
        w, values = weight(at_ms, half_life_ms), draw(st.lists(st.integers(0, 1024), max_size=4))
        added = Sums(w * len(values), w * sum(values), w * sum(x * x for x in values))
        evidence[key] = evidence.get(key, Sums(0, 0, 0)).plus(added)
    return evidence


@st.composite
def histories(draw: st.DrawFn) -> list[Snapshot]:
    """Snapshots of two types and four partitions, as their writers published them over time."""
    published = []
    for position in range(draw(st.integers(1, 12))):
        as_of_ms = AS_OF_MS + draw(st.integers(0, 10 * 3_600_000))
        published.append(
            snapshot(
                draw(rows(as_of_ms)),
                request_type=draw(st.sampled_from(("general", "writing"))),
                partition=draw(st.integers(0, 3)),
                epoch=1 + position // 4,
                source_offset=position,
                as_of_ms=as_of_ms,
                folded=draw(st.integers(0, 100)),
            )
        )
    return published


def compacted(published: Sequence[Snapshot]) -> list[Snapshot]:
    """What compaction leaves: the last record of each key."""
    return list({each.key: each for each in published}.values())


def outcome(state: RouterState) -> tuple[object, ...]:
    """All that anyone can see of a state, to the last bit."""
    router = Router(config(arms="abc"), 1, state)
    readings = [state.of(name).read() for name in ("general", "writing")]
    picks = [router.choose("general", bytes([i]), now_ms=0) for i in range(8)]
    return state.digest(), state.counts(), *readings, *(each.metrics for each in readings), *picks


@unhurried
@given(histories(), st.data())
def test_order_and_repeats_change_nothing(published: list[Snapshot], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(published))
    repeated = data.draw(st.lists(st.sampled_from(published)))

    assert outcome(state_of(*shuffled, *repeated)) == outcome(state_of(*published))


@unhurried
@given(histories())
def test_cold_start_equals_warm_state(published: list[Snapshot]) -> None:
    assert outcome(state_of(*compacted(published))) == outcome(state_of(*published))


@unhurried
@given(histories(), st.data())
def test_fenced_writer_changes_nothing(published: list[Snapshot], data: st.DataObject) -> None:
    victim = data.draw(st.sampled_from(compacted(published)))
    zombie = snapshot(
        data.draw(rows(AS_OF_MS)),
        request_type=victim.request_type,
        partition=victim.partition,
        epoch=victim.epoch - 1,
        source_offset=victim.source_offset + 1000,
    )

    assert outcome(state_of(*published, zombie)) == outcome(state_of(*published))


@unhurried
@given(histories())
def test_tombstones_leave_nothing_behind(published: list[Snapshot]) -> None:
    state = state_of(*published)
    for each in published:
        state.remove(each.request_type, each.partition)

    assert outcome(state) == outcome(RouterState())


@unhurried
@given(rows(AS_OF_MS), st.data())
def test_digest_does_not_see_how_evidence_is_split(
    evidence: dict[SeriesKey, Sums], data: st.DataObject
) -> None:
    split: dict[int, dict[SeriesKey, Sums]] = defaultdict(dict)
    for key, sums in evidence.items():
        split[data.draw(st.integers(0, 3))][key] = sums

    parts = [snapshot(part, partition=number) for number, part in split.items()]
    # A share without rows, so that both are read at the same time.
    together = state_of(snapshot(evidence))
    apart = state_of(*parts, snapshot(partition=4))

    assert apart.digest() == together.digest()


@unhurried
@given(histories())
def test_reading_equals_exact_arithmetic(published: list[Snapshot]) -> None:
    last = [each for each in compacted(published) if each.request_type == "general"]
    reading = state_of(*published).of("general").read()
    at_ms = max((each.as_of_ms for each in last), default=0)
    exact: dict[tuple[str, str, str], Fraction] = defaultdict(Fraction)
    for each in last:
        for (arm, metric, pace, half_life_ms, row_era), sums in each.evidence.items():
            behind = era(at_ms, half_life_ms) - row_era
            # A series has one half-life; where several are mixed, the longest is believed.
            if behind < 2 and sums.n and half_life_ms == _longest(last, at_ms, arm, metric, pace):
                scale = weight(at_ms, half_life_ms) * 2 ** (16 * behind)
                exact[arm, metric, pace] += Fraction(sums.n, scale)

    assert reading.as_of_ms == at_ms
    for arm, metrics in reading.metrics.items():
        for metric, evidence in metrics.items():
            assert _close(evidence.slow.n, exact[arm, metric, "slow"])
            assert _close(evidence.fast.n, exact[arm, metric, "fast"])


def _longest(last: Sequence[Snapshot], at_ms: int, arm: str, metric: str, pace: str) -> int:
    return max(
        key.half_life_ms
        for each in last
        for key, sums in each.evidence.items()
        if key[:3] == (arm, metric, pace) and sums.n and key.era > era(at_ms, key.half_life_ms) - 2
    )


def _close(value: float, exact: Fraction) -> bool:
    return abs(Fraction(value) - exact) <= exact * Fraction(1, 10**12)
