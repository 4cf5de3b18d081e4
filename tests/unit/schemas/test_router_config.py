"""Router configurations: what is refused, and that the message names the field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.errors import InvalidConfig
from schemas.router_config import MAX_DECLARED_METRICS, SIGNAL_REWARDS, parse_config

GOOD: dict[str, Any] = {"router": "chat", "arms": [{"name": "a"}, {"name": "b"}]}


def parse(**fields: Any) -> Any:
    return parse_config(json.dumps({**GOOD, **fields}))


def test_defaults_are_those_of_the_documentation() -> None:
    config = parse()
    assert config.weights.quality == 0.7
    assert config.rewards == {"quality": 1.0, **SIGNAL_REWARDS}
    assert config.declared_metrics == ("quality",)
    assert config.stickiness == "session"
    assert parse_config(config.model_dump_json()) == config


def priced(*prices: dict[str, float]) -> list[dict[str, Any]]:
    return [{"name": f"arm-{i}", "price": price} for i, price in enumerate(prices)]


PER_TOKEN = {"usd_per_1m_in": 1.0, "usd_per_1m_out": 4.0}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"arms": []}, "arms: "),
        ({"arms": [{"name": "a"}, {"name": "a"}]}, "'a' is given twice"),
        ({"arms": [{"name": "a b"}]}, "arms.0.name"),
        ({"arms": [{"name": "m", "deployments": ["eu", "eu"]}]}, "'eu' is given twice"),
        ({"arms": [{"name": "m", "deployments": ["a"]}, {"name": "a"}]}, "'a' is given twice"),
        ({"arms": [{"name": "m", "deployments": ["m"]}]}, "'m' is given twice"),
        (
            {"arms": [{"name": "m", "deployments": [f"d{i}" for i in range(65)]}]},
            "65 deployments, at most 64",
        ),
        ({"speed": {"metric": "cost_usd"}}, "speed.metric"),
        ({"speed": {"span": 1.0}}, "speed.span"),
        ({"health": {"probe": 2.0}}, "health.probe"),
        ({"mode": "shadow"}, "mode: "),
        ({"weights": {"quality": 0.7, "cost": 0.3, "latency": 0.1}}, "must sum to 1, got 1.1"),
        ({"arms": [{"name": "a", "tier": 4}]}, "arms.0.tier"),
        ({"arms": [{"name": "a", "strengths": ["poetry"]}]}, "'poetry' is not one of"),
        ({"router": "a/b"}, "router: "),
        ({"weights": {"quality": 0.7, "cost": 0.7}}, "weights must sum to 1, got 1.4"),
        ({"wieghts": {}}, "wieghts: "),
        ({"rewards": {"latency_ms": 1.0}}, "'latency_ms' is measured, not scored"),
        ({"rewards": {"quality": -1.0}}, "rewards.quality"),
        ({"rewards": {"quality": 1e-9}}, "0 or at least 1e-06"),
        ({"rewards": {f"m{i}": 1.0 for i in range(MAX_DECLARED_METRICS + 1)}}, "at most 39"),
        ({"half_lives_s": {"quality": {"slow": 10, "fast": 20}}}, "must be shorter"),
        ({"prior": {"tier_means": [0.0, 0.5, 0.7]}}, "prior.tier_means"),
        ({"prior": {"mass": 0}}, "prior.mass"),
        ({"min_probability": 0.6}, "min_probability: 0.6 x 2 arms is above 1"),
        ({"attribution_window_s": 0}, "attribution_window_s"),
        ({"arms": priced({"usd_per_1m_in": 1.0})}, "both usd_per_1m_in and usd_per_1m_out"),
        ({"arms": priced({**PER_TOKEN, "usd_per_request": 0.1})}, "give either"),
        ({"arms": priced(PER_TOKEN, {"usd_per_request": 0.1})}, "price all of them per request"),
        ({"arms": priced({"usd_per_request": -1.0})}, "arms.0.price.usd_per_request"),
    ],
)
def test_a_fault_is_named(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        parse(**fields)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "nonsense", '{"router": NaN}', '{"router": "chat"}'])
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfig):
        parse_config(text)


def test_a_blended_price_reads_three_tokens_for_each_written() -> None:
    (arm,) = parse(arms=priced(PER_TOKEN)).arms
    assert arm.price.comparable_usd == pytest.approx(0.75 * 1.0 + 0.25 * 4.0)
