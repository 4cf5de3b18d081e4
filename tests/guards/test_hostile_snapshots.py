"""Whatever a snapshot holds, a pick neither fails nor hangs, and what can't be is counted."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router_api.intake import BadRecords
from router_api.readings import learning
from schemas.evidence import SeriesKey, Sums, weight
from schemas.metrics import BUILT_IN
from tests.factories import T0, config
from tests.guards.installation import Installation
from tests.snapshots import observed, snapshot

# A sampler that is given NaN or infinity may never return: a hang must fail, and soon.
pytestmark = pytest.mark.timeout(120)

ONE = weight(T0, 0)
NAN: Any = math.nan
INFINITY: Any = math.inf
KEY = SeriesKey("a", "quality", "slow", 0, 0)


def refused(installation: Installation) -> float:
    """As the metrics say."""
    readings = learning(installation.replicas[0], BadRecords(), True, installation.now_ms)
    (rows,) = (each for each in readings if each.name == "routefold_refused_evidence_rows")
    return sum(value for _, value in rows.values)


def poisoned(evidence: dict[SeriesKey, Sums], **fields: Any) -> Installation:
    """A router that has taken in a good share of evidence, and then this one."""
    installation = Installation(config(**fields))
    good = {**observed("a", [1.0] * 40, at_ms=T0), **observed("b", [0.0] * 40, at_ms=T0)}
    for partition, rows in ((1, good), (2, evidence)):
        share = snapshot(rows, partition=partition, as_of_ms=T0)
        installation.replicas[0].apply_snapshot(share, T0)
    return installation


@pytest.mark.parametrize(
    "sums",
    [
        pytest.param(Sums(-ONE, 0, 0), id="negative"),
        pytest.param(Sums(ONE, -20 * ONE, 0), id="negative sum"),
        pytest.param(Sums(NAN, NAN, NAN), id="not a number"),
        pytest.param(Sums(INFINITY, INFINITY, INFINITY), id="infinite"),
        pytest.param(Sums(1 << 5000, 1 << 5000, 1 << 5000), id="larger than any double"),
    ],
)
@pytest.mark.parametrize("metric", ["quality", "health", "latency_ms"])
def test_impossible_evidence_is_refused_and_counted_and_moves_no_pick(
    metric: str, sums: Sums
) -> None:
    weights = {"quality": 0.5, "cost": 0.0, "latency": 0.5}
    clean = poisoned({}, weights=weights)
    hostile = poisoned({KEY._replace(metric=metric): sums}, weights=weights)
    for number in range(50):
        one, other = (each.pick(session_id=f"s{number}") for each in (clean, hostile))
        assert (one.arm, one.probability) == (other.arm, other.probability)
    assert refused(clean) == 0
    assert refused(hostile) == 1


def test_evidence_of_nothing_is_the_prior() -> None:
    installation = Installation(config())
    nothing = snapshot({KEY: Sums(0, 0, 0)}, as_of_ms=T0)
    installation.replicas[0].apply_snapshot(nothing, T0)
    assert refused(installation) == 0
    assert installation.quality() == Installation(config()).quality()


SIZES = st.integers(-(2**80), 2**200) | st.sampled_from([0, 1, -1, ONE, NAN, INFINITY, -INFINITY])
ROWS = st.dictionaries(
    st.builds(
        SeriesKey,
        st.sampled_from(["a", "b", "stranger"]),
        st.sampled_from([*BUILT_IN, "quality", "unheard_of"]),
        st.sampled_from(["slow", "fast"]),
        st.sampled_from([0, 1, 3000, 10**15]) | st.integers(-5, 10**18),
        st.integers(-(2**62), 2**62) | st.just(0),
    ),
    st.builds(Sums, SIZES, SIZES, SIZES),
    max_size=6,
)


@settings(deadline=None, max_examples=150)
@given(ROWS, st.sampled_from([0.0, 0.4]))
def test_no_evidence_can_fail_a_pick(evidence: dict[SeriesKey, Sums], latency: float) -> None:
    weights = {"quality": 0.6, "cost": 0.4 - latency, "latency": latency}
    installation = poisoned(evidence, weights=weights)
    pick = installation.pick()
    shares = installation.shares()
    assert pick.probability == shares[pick.arm]
    assert sum(shares.values()) == 1.0
    assert all(0.0 <= chance <= 1.0 for chance in shares.values())
    for posterior in installation.quality():
        assert posterior.alpha > 0.0
        assert posterior.beta > 0.0
        assert math.isfinite(posterior.alpha + posterior.beta)
