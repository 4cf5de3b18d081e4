"""A router's state as it is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scipy.stats import beta as beta_distribution

from router_api.freshness import Freshness
from router_api.routing.router import Router
from router_api.state_view import state_view
from schemas.evidence import SeriesKey, Sums, era, weight
from schemas.metrics import Kind, from_fixed
from schemas.router_config import RouterConfig
from schemas.snapshot import Snapshot
from tests.factories import config
from tests.snapshots import AS_OF_MS, observed, snapshot, state_of

NO_SAMPLES = Freshness(None, None, 0)


def shown(*snapshots: Snapshot, dead: int = 0, **fields: Any) -> dict[str, Any]:
    router = Router(config(**fields), 3, state_of(*snapshots))
    return state_view(router, dead, NO_SAMPLES, now_ms=0)


def cell(view: dict[str, Any], arm: str, request_type: str = "general") -> dict[str, Any]:
    (found,) = [
        each for each in view["cells"] if (each["request_type"], each["arm"]) == (request_type, arm)
    ]
    return dict(found)


def test_names_configuration_versions_and_counts() -> None:
    view = shown(
        snapshot(folded=7, duplicates=2, late=1, source_offset=9),
        snapshot(request_type="writing", partition=1, folded=1),
        dead=4,
        request_types=["general", "writing", "poetry"],
    )

    assert (view["router"], view["version"]) == ("r", 3)
    assert RouterConfig.model_validate(view["config"]) == config(
        request_types=["general", "writing", "poetry"]
    )
    assert view["snapshot"] == {"general": "9.-.-.-", "writing": "-.1.-.-", "poetry": "-.-.-.-"}
    assert view["events"] == {"folded": 8, "duplicates": 2, "late": 1, "dead": 4}
    assert view["freshness_ms"] == {"p50": None, "p99": None, "samples": 0}
    assert len(view["cells"]) == 6


def test_cell_shows_prior_posterior_and_chance() -> None:
    view = shown(snapshot(observed("a", [1.0] * 30 + [0.0] * 10)))
    known, unknown = cell(view, "a"), cell(view, "b")

    assert known["prior"] == unknown["prior"] == {"alpha": 3.0, "beta": 2.0}
    assert (known["alpha"], known["beta"]) == (33.0, 12.0)
    assert known["mean"] == pytest.approx(33 / 45)
    assert known["observations"] == 40.0
    assert known["interval_90"] == pytest.approx(
        [beta_distribution(33, 12).ppf(q) for q in (0.05, 0.95)]
    )
    assert known["probability"] > 0.75
    assert known["probability"] + unknown["probability"] == 1.0
    assert unknown["metrics"] == {}
    assert cell(view, "a", "writing")["observations"] == 0.0


def test_metrics_are_in_their_own_unit() -> None:
    w = weight(AS_OF_MS, 0)
    rows = {
        **observed("a", [0.25, 0.75]),
        SeriesKey("a", "cost_usd", "slow", 0, 0): Sums(2 * w, 30_000 * w, 500_000_000 * w),
        SeriesKey("a", "latency_ms", "slow", 0, 0): Sums(w, 640 * w, 640 * 640 * w),
    }
    metrics = cell(shown(snapshot(rows)), "a")["metrics"]

    assert metrics["quality"] == {"n": 2.0, "mean": 0.5, "drifted": False}
    assert metrics["cost_usd"] == {"n": 2.0, "mean": pytest.approx(0.015), "drifted": False}
    assert metrics["latency_ms"]["mean"] == from_fixed(Kind.TIME, 640) == 1024.0


def test_drift_shows_what_rules_now() -> None:
    half_life_ms = 1000
    long_ago, now = [1.0, 0.75] * 50, [0.0, 0.25] * 10
    slow = observed("a", [*long_ago, *now])
    fast = observed("a", now, pace="fast", half_life_ms=half_life_ms)
    quality = cell(shown(snapshot({**slow, **fast})), "a")["metrics"]["quality"]

    assert era(AS_OF_MS, half_life_ms) > 0
    assert quality == {"n": pytest.approx(20), "mean": 0.125, "drifted": True}


def test_digest_and_cells_are_of_the_same_moment() -> None:
    state = state_of(snapshot(observed("a", [1.0])))
    router = Router(config(), 1, state, min_rebuild_interval_ms=10**9)
    router.choose("general", b"s", now_ms=0)
    state.apply(snapshot(observed("a", [1.0] * 9), source_offset=2), 1)

    view = state_view(router, 0, NO_SAMPLES, now_ms=1)

    assert view["state_digest"] == state.digest()
    assert cell(view, "a")["observations"] == 9.0


@pytest.mark.parametrize("prior", [{"mass": 0.01}, {"mass": 1e6}])
def test_any_state_is_json(prior: dict[str, Any]) -> None:
    rows = {**observed("a", [1.0] * 500), **observed("gone", [0.5])}
    view = shown(snapshot(rows), prior=prior, max_evidence_mass=1e9)
    assert json.loads(json.dumps(view, allow_nan=False)) == view
