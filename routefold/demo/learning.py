"""What a router's state shows of its learning, beside what the simulation knows to be true."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from routefold.demo.models import Model
from router_api.routing.policy import cheapness
from schemas.router_config import RouterConfig

# Turns that "lately" covers: enough to be steady, few enough to move.
_LATELY_TURNS: Final = 1000


@dataclass(frozen=True, slots=True)
class ArmView:
    """One arm in one request type, as the router sees it now; `true_rate` is the simulation's."""

    name: str
    share: float
    mean: float
    interval_90: tuple[float, float]
    true_rate: float


@dataclass(frozen=True, slots=True)
class TypeView:
    """One request type: its turns, its arms by falling share, and the arm that is best in truth."""

    name: str
    turns: int
    arms: tuple[ArmView, ...]
    best_arm: str


@dataclass(frozen=True, slots=True)
class View:
    """One moment of the demonstration. Utilities are means a turn; None before the first turn."""

    events_folded: int
    turns: int
    utility_lately: float | None
    utility_uniform: float
    utility_best: float
    types: tuple[TypeView, ...]
    freshness_p99_ms: float | None


class Learning:
    """Turns states into views. Keeps only what "lately" needs."""

    def __init__(self, config: RouterConfig, models: Sequence[Model]) -> None:
        self._models = {model.name: model for model in models}
        self._weights = config.weights
        self._cheapness = dict(zip(config.arm_names, cheapness(config.arms), strict=True))
        self._totals: deque[tuple[float, float]] = deque([(0.0, 0.0)])

    def utility(self, arm: str, quality: float) -> float:
        """What the router aims at: quality and cheapness, weighted."""
        return self._weights.quality * quality + self._weights.cost * self._cheapness[arm]

    def view(self, state: Mapping[str, Any]) -> View:
        """The view of a state document of the API."""
        by_type: dict[str, list[Mapping[str, Any]]] = {}
        for cell in state["cells"]:
            by_type.setdefault(cell["request_type"], []).append(cell)
        scored = [(cell["arm"], *_quality(cell)) for cell in state["cells"]]
        turns = sum(n for _, n, _ in scored)
        earned = sum(n * self.utility(arm, mean) for arm, n, mean in scored)
        freshness = state.get("freshness_ms") or {}
        expected = [self._expected(name) for name in by_type]
        return View(
            events_folded=state["events"]["folded"],
            turns=round(turns),
            utility_lately=self._lately(turns, earned),
            utility_uniform=_mean([sum(of.values()) / len(of) for of in expected]),
            utility_best=_mean([max(of.values()) for of in expected]),
            types=tuple(self._type_view(name, cells) for name, cells in by_type.items()),
            freshness_p99_ms=freshness.get("p99"),
        )

    def _expected(self, request_type: str) -> dict[str, float]:
        return {
            name: self.utility(name, model.success[request_type])
            for name, model in self._models.items()
        }

    def _type_view(self, name: str, cells: Sequence[Mapping[str, Any]]) -> TypeView:
        expected = self._expected(name)
        arms = [
            ArmView(
                name=cell["arm"],
                share=cell["probability"],
                mean=cell["mean"],
                interval_90=(cell["interval_90"][0], cell["interval_90"][1]),
                true_rate=self._models[cell["arm"]].success[name],
            )
            for cell in cells
        ]
        return TypeView(
            name=name,
            turns=round(sum(_quality(cell)[0] for cell in cells)),
            arms=tuple(sorted(arms, key=lambda arm: (-arm.share, arm.name))),
            best_arm=max(expected, key=expected.__getitem__),
        )

    def _lately(self, turns: float, earned: float) -> float | None:
        """Mean utility of about the last thousand turns."""
        if turns > self._totals[-1][0]:
            self._totals.append((turns, earned))
        while len(self._totals) > 2 and turns - self._totals[1][0] >= _LATELY_TURNS:
            self._totals.popleft()
        start_turns, start_earned = self._totals[0]
        past = turns - start_turns
        return (earned - start_earned) / past if past > 0 else None


def _quality(cell: Mapping[str, Any]) -> tuple[float, float]:
    """(observations, mean) of the scores of a cell; the demonstration forgets nothing."""
    metric = cell["metrics"].get("quality")
    return (metric["n"], metric["mean"]) if metric and metric["n"] else (0.0, 0.0)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
