"""What LiteLLM's users have already, names and numbers, means the same here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.metrics import SIGNALS
from schemas.request_types import REQUEST_TYPES
from schemas.router_config import RouterConfig
from tests.guards.installation import Installation

PAGE = Path(__file__).parents[2] / "docs/litellm.md"
# As its proxy sent them, of thirty general requests with nothing learned yet.
SENT_TO_CHEAP = 27 / 30


def block(language: str) -> Any:
    """The configuration that the page shows as that language."""
    _, _, rest = PAGE.read_text().partition(f"```{language}\n")
    return yaml.safe_load(rest.partition("```")[0])


def ours() -> RouterConfig:
    return RouterConfig.model_validate(block("yaml"))


def test_both_configurations_of_the_page_say_the_same() -> None:
    groups = {each["model_name"]: each for each in block("yml")["model_list"]}
    told = groups["smart-router"]["litellm_params"]["adaptive_router_config"]
    config = ours()
    assert config.router == "smart-router"
    assert list(config.arm_names) == told["available_models"]
    assert {"quality": config.weights.quality, "cost": config.weights.cost} == told["weights"]
    for arm in config.arms:
        preferences = groups[arm.name]["model_info"]["adaptive_router_preferences"]
        assert arm.tier == preferences["quality_tier"]
        assert list(arm.strengths) == preferences.get("strengths", [])
        usd = groups[arm.name]["litellm_params"]["input_cost_per_token"]
        assert arm.price is not None
        assert arm.price.usd_per_1m_in == pytest.approx(usd * 1e6)


def test_both_begin_with_the_same_share() -> None:
    share = Installation(ours()).shares("smart-router")["cheap"]
    assert share == pytest.approx(0.866, abs=0.001)
    by_chance = (share * (1 - share) / 30) ** 0.5
    assert share == pytest.approx(SENT_TO_CHEAP, abs=2 * by_chance)


def test_request_types_and_signals_have_the_names_that_litellm_gives_them() -> None:
    assert set(REQUEST_TYPES) == {
        "code_generation",
        "code_understanding",
        "technical_design",
        "analytical_reasoning",
        "writing",
        "factual_lookup",
        "general",
    }
    assert set(SIGNALS) >= {
        "misalignment",
        "stagnation",
        "disengagement",
        "satisfaction",
        "failure",
        "loop",
        "exhaustion",
    }
