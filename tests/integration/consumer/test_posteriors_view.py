"""The SQL view `posteriors` gives analysts the numbers that the routers use."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router_api.routing.beliefs import beliefs
from schemas.evidence import PACES, SeriesKey, Sums, era, weight
from schemas.posterior import metrics_at
from schemas.router_config import MIN_REWARD, RouterConfig
from tests.factories import T0

pytestmark = pytest.mark.integration

CONFIGS = st.builds(
    lambda deployments, tiers, strengths, rewards, mass: RouterConfig.model_validate(
        {
            "router": "r",
            "arms": [
                {
                    "name": "a",
                    "tier": tiers[0],
                    "strengths": strengths,
                    "deployments": deployments,
                },
                {"name": "b/1", "tier": tiers[1]},
            ],
            "request_types": ["general", "writing"],
            "rewards": {"quality": rewards[0], "error": rewards[1], "helpful": rewards[2]},
            "max_evidence_mass": mass,
        }
    ),
    st.sampled_from([[], ["a1"], ["a1", "a2"]]),
    st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 3])),
    st.sampled_from([[], ["writing"], ["general", "writing"]]),
    st.tuples(*[st.just(0.0) | st.floats(MIN_REWARD, 1000)] * 3),
    st.floats(1, 1e6),
)
OBSERVATIONS = st.lists(
    st.tuples(
        st.sampled_from(["general", "writing"]),
        st.sampled_from(["a", "a1", "a2", "b/1"]),
        st.sampled_from(["quality", "error", "helpful", "latency_ms"]),
        st.integers(0, 1024),
        st.integers(0, 3_000_000),  # age, milliseconds
        st.integers(1, 50),  # repeated
    ),
    max_size=40,
)
PACED_MS = {"slow": 600_000, "fast": 30_000}


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database, options="-c search_path=routefold") as opened:
        yield opened


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(config=CONFIGS, observations=OBSERVATIONS, forgets=st.booleans())
def test_the_view_equals_the_python_arithmetic(
    connection: psycopg.Connection,
    config: RouterConfig,
    observations: list[tuple[str, str, str, int, int, int]],
    forgets: bool,
) -> None:
    connection.rollback()  # of an example that failed half-way
    evidence: dict[str, dict[SeriesKey, Sums]] = {"general": {}, "writing": {}}
    as_of = dict.fromkeys(evidence, 0)
    seen: dict[str, dict[str, int]] = {"general": {}, "writing": {}}
    for request_type, name, metric, x, age_ms, times in observations:
        at = T0 - age_ms
        as_of[request_type] = max(as_of[request_type], at)
        seen[request_type][name] = max(at, seen[request_type].get(name, 0))
        for pace in PACES:
            half_life = PACED_MS[pace] if forgets or pace == "fast" else 0
            key = SeriesKey(name, metric, pace, half_life, era(at, half_life))
            w = weight(at, half_life) * times
            known = evidence[request_type].get(key, Sums(0, 0, 0))
            evidence[request_type][key] = known.plus(Sums(w, w * x, w * x * x))
    _store(connection, config, evidence, as_of, seen)
    query = "SELECT request_type, arm, alpha, beta, mean, observations FROM posteriors"
    found = {(row[0], row[1]): row[2:] for row in connection.execute(query).fetchall()}
    connection.rollback()
    assert len(found) == 2 * len(config.deployments)
    for request_type, rows in evidence.items():
        read = metrics_at(rows, as_of[request_type], seen[request_type])
        believed = beliefs(config, request_type, read)
        for deployment in config.deployments:
            wanted = believed.quality[deployment.arm]
            assert found[request_type, deployment.name] == pytest.approx(
                (wanted.alpha, wanted.beta, wanted.mean, wanted.observations), rel=1e-9, abs=1e-9
            )


def _store(
    connection: psycopg.Connection,
    config: RouterConfig,
    evidence: dict[str, dict[SeriesKey, Sums]],
    as_of: dict[str, int],
    seen: dict[str, dict[str, int]],
) -> None:
    """Spread the rows over two partitions, as a topic would."""
    connection.execute(
        "INSERT INTO routers VALUES (0, 'r', 1, %s, 1, '{}', '{}', '{}', 0, 0, 0, 0)",
        [config.model_dump_json()],
    )
    for request_type, rows in evidence.items():
        if rows:
            connection.execute(
                "INSERT INTO event_counts VALUES (0, 'r', %(type)s, 0, 0, 0, %(at)s),"
                " (1, 'r', %(type)s, 0, 0, 0, 0)",
                {"type": request_type, "at": as_of[request_type]},
            )
        for arm, at_ms in seen[request_type].items():
            for partition, seen_ms in ((0, at_ms), (1, at_ms - 500)):
                connection.execute(
                    "INSERT INTO arm_seen VALUES (%s, 'r', %s, %s, %s)",
                    [partition, request_type, arm, seen_ms],
                )
        for key, sums in rows.items():
            for partition in (0, 1):
                share = [value // 2 + (partition * (value % 2)) for value in sums]
                connection.execute(
                    "INSERT INTO evidence VALUES (%s, 'r', %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    [partition, request_type, *key, *share],
                )
