"""Eight models with their published figures, read from models.csv; each figure names its source.

What they stand for: a benchmark task's success rate stands for the request type that it resembles
most (LiveBench has no task named after a request type), and the time that the Aider leaderboard
gives for a whole exercise stands for a request's latency. They are proxies, chosen because one
harness measured all eight models; they are no claim about how a model does on your traffic.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Final

from schemas.router_config import Arm, Price, RouterConfig

FIGURES: Final = "models.csv"
ROUTER: Final = "demo"
# Every arm starts equal: whatever the demonstration prefers in the end, it learned.
_TIER: Final = 2


@dataclass(frozen=True, slots=True)
class Model:
    """Published figures of one model. `success` is a probability by request type."""

    name: str
    usd_per_1m_in: float
    usd_per_1m_out: float
    latency_mean_s: float
    success: Mapping[str, float]

    def cost_usd(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.usd_per_1m_in + tokens_out * self.usd_per_1m_out) / 1e6


def read_models() -> tuple[Model, ...]:
    """The models in the order of the file."""
    text = (resources.files("routefold.demo") / FIGURES).read_text()
    figures: dict[str, dict[str, float]] = {}
    success: dict[str, dict[str, float]] = {}
    for row in csv.DictReader(text.splitlines()):
        value = float(row["value"])
        if row["figure"] == "success_rate":
            success.setdefault(row["model"], {})[row["request_type"]] = value / 100.0
        else:
            figures.setdefault(row["model"], {})[row["figure"]] = value
    return tuple(
        Model(
            name=name,
            usd_per_1m_in=of["usd_per_1m_in"],
            usd_per_1m_out=of["usd_per_1m_out"],
            latency_mean_s=of["latency_mean"],
            success=MappingProxyType(success[name]),
        )
        for name, of in figures.items()
    )


def router_config(models: tuple[Model, ...]) -> RouterConfig:
    """The demonstration's router: all models, equal beforehand, quality before cost."""
    return RouterConfig(
        router=ROUTER,
        arms=tuple(
            Arm(
                name=model.name,
                tier=_TIER,
                price=Price(usd_per_1m_in=model.usd_per_1m_in, usd_per_1m_out=model.usd_per_1m_out),
            )
            for model in models
        ),
        request_types=tuple(models[0].success),
    )
