"""A price that nobody has stated is unknown: not nothing, and not infinite."""

from __future__ import annotations

import pytest

from schemas.router_config import RouterConfig
from tests.guards.installation import Installation


def router(**usd: float | None) -> RouterConfig:
    """Arms that differ in their price alone."""
    arms = [
        {"name": name, "price": None if each is None else {"usd_per_request": each}}
        for name, each in usd.items()
    ]
    weights = {"quality": 0.5, "cost": 0.5}
    return RouterConfig.model_validate({"router": "r", "arms": arms, "weights": weights})


def test_an_arm_without_a_price_is_not_taken_for_free() -> None:
    unknown = Installation(router(cheap=0.001, dear=0.009, untold=None)).shares()
    free = Installation(router(cheap=0.001, dear=0.009, untold=0.0)).shares()
    average = Installation(router(cheap=0.001, dear=0.009, untold=0.005)).shares()
    assert unknown["untold"] == pytest.approx(average["untold"])
    assert unknown["untold"] < unknown["cheap"]
    assert unknown["untold"] < 0.5 * free["untold"]
    assert unknown["untold"] > unknown["dear"]


def test_beside_one_known_price_an_unknown_one_decides_nothing() -> None:
    assert Installation(router(told=5.0, untold=None)).shares()["untold"] == pytest.approx(0.5)
