"""A model that does not answer loses its traffic, however cheap it is."""

from __future__ import annotations

import pytest

from schemas.router_config import RouterConfig
from tests.guards.installation import Installation, share

DOWN = "cheapest"
CALLS = 60
WEIGHTS = [
    pytest.param({"quality": 0.7, "cost": 0.3}, id="quality first"),
    pytest.param({"quality": 0.3, "cost": 0.7}, id="cost first"),
    pytest.param({"quality": 0.0, "cost": 1.0}, id="cost alone"),
    pytest.param({"quality": 0.2, "cost": 0.3, "latency": 0.5}, id="time first"),
]


def router(weights: dict[str, float]) -> RouterConfig:
    """The model that will fail costs least, and is as good as any for all that is known."""
    arms = [
        {"name": name, "price": {"usd_per_request": usd}}
        for name, usd in ((DOWN, 0.001), ("middle", 0.005), ("dearest", 0.02))
    ]
    return RouterConfig.model_validate({"router": "r", "arms": arms, "weights": weights})


def played(installation: Installation, turns: int, turn_ms: int, *, down: bool) -> list[str]:
    """The arms of so many turns. When the model is down it fails at once: it is quick, too."""
    installation.fold_every_ms = 5 * turn_ms
    picked = []
    for _ in range(turns):
        pick = installation.pick()
        picked.append(pick.arm)
        if down and pick.arm == DOWN:
            installation.report(pick, status="error", latency_ms=20.0)
        else:
            installation.report(pick, status="ok", latency_ms=900.0)
        installation.wait(turn_ms)
    return picked


def kept(installation: Installation, turn_ms: int) -> float:
    """Share of the traffic after 60 failed calls, or after 300 turns without that many."""
    calls: list[str] = []
    while calls.count(DOWN) < CALLS and len(calls) < 300:
        calls += played(installation, 20, turn_ms, down=True)
    return share(played(installation, 200, turn_ms, down=True), DOWN)


@pytest.mark.parametrize("turn_ms", [100, 10_000, 600_000])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_model_that_fails_every_call_keeps_less_than_a_twentieth(
    weights: dict[str, float], turn_ms: int
) -> None:
    assert kept(Installation(router(weights)), turn_ms) < 0.05


@pytest.mark.parametrize("turn_ms", [100, 1000, 4000, 60_000, 600_000, 3_600_000])
@pytest.mark.parametrize("weights", WEIGHTS)
def test_a_model_that_begins_to_fail_every_call_keeps_less_than_a_twentieth(
    weights: dict[str, float], turn_ms: int
) -> None:
    installation = Installation(router(weights))
    played(installation, 300, turn_ms, down=False)
    assert kept(installation, turn_ms) < 0.05


@pytest.mark.parametrize("turn_ms", [100, 60_000])
def test_a_model_that_answers_again_gets_its_traffic_back(turn_ms: int) -> None:
    installation = Installation(router({"quality": 0.3, "cost": 0.7}))
    played(installation, 300, turn_ms, down=True)
    assert share(played(installation, 400, turn_ms, down=False)[200:], DOWN) > 0.5
