"""Contenders that choose one arm a request and learn from its reward alone.

All are told the same beforehand: the arms' prices and the weights of quality and cost. None is told
how good an arm is.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.learner import Learner
from router_api.routing.policy import cheapness
from schemas.router_config import RouterConfig

FloatArray: TypeAlias = NDArray[np.float64]

QUALITY: Final = "quality"


class Bandit(Protocol):
    """A contender, with all that it has learned."""

    def serve(self, request_type: str, rewards: FloatArray) -> int:
        """Choose an arm for a request, learn its reward, and answer its number.

        `rewards`, in 0..1, are those of all arms; only the chosen one's may be looked at.
        """
        ...


class Uniform:
    """Every arm equally likely."""

    def __init__(self, config: RouterConfig, seed: int) -> None:
        self._arms = len(config.arms)
        self._rng = random.Random(seed)

    def serve(self, request_type: str, rewards: FloatArray) -> int:  # noqa: ARG002
        return self._rng.randrange(self._arms)


class Thompson:
    """Textbook Thompson sampling: a draw for each arm at each request, no evidence forgotten."""

    def __init__(self, config: RouterConfig, seed: int) -> None:
        self._rng = np.random.default_rng((seed, 1))  # requests are drawn with the seed alone
        self._quality = config.weights.quality
        self._offset = config.weights.cost * np.array(cheapness(config.arms))
        self._shapes: dict[str, FloatArray] = {
            name: np.array([_shapes(config, arm, name) for arm in range(len(config.arms))])
            for name in config.request_types
        }

    def serve(self, request_type: str, rewards: FloatArray) -> int:
        shapes = self._shapes[request_type]
        scores = self._quality * self._rng.beta(shapes[:, 0], shapes[:, 1]) + self._offset
        arm = int(np.argmax(scores))
        shapes[arm] += rewards[arm], 1.0 - rewards[arm]
        return arm


def _shapes(config: RouterConfig, arm: int, request_type: str) -> tuple[float, float]:
    prior = config.prior.of(config.arms[arm], request_type)
    return prior.alpha, prior.beta


class Routefold:
    """This project, by way of every stage but the servers. A turn comes every `step_ms`."""

    def __init__(
        self, config: RouterConfig, seed: int, *, step_ms: int, delay_turns: int = 0
    ) -> None:
        self.learner: Final = Learner(config, random.Random(seed), delay_turns=delay_turns)
        self._step_ms = step_ms
        self._number = {name: number for number, name in enumerate(config.arm_names)}

    def serve(self, request_type: str, rewards: FloatArray) -> int:
        turn = self.learner.pick(request_type)
        arm = self._number[turn.arm]
        self.learner.report(turn, scores={QUALITY: float(rewards[arm])})
        self.learner.wait(self._step_ms)
        return arm


class LiteLLM:
    """LiteLLM's adaptive router: its own cells, pick and update. An outcome is given to it as what
    its signals come to: so much success, and the rest of 1 as failure.

    Raises ImportError where LiteLLM is not installed or has no such router.
    """

    def __init__(self, config: RouterConfig, seed: int) -> None:
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no download on import
        self._bandit: Any = import_module("litellm.router_strategy.adaptive_router.bandit")
        types: Any = import_module("litellm.types.router")
        self._rng = random.Random(seed)
        self._weights = config.weights
        self._arms = config.arm_names
        self._costs = {
            arm.name: 0.0 if arm.price is None else arm.price.comparable_usd for arm in config.arms
        }
        self._cells: Mapping[str, dict[str, Any]] = defaultdict(dict)
        for name in config.request_types:
            for arm in config.arms:
                told = types.AdaptiveRouterPreferences(quality_tier=arm.tier, strengths=[])
                self._cells[name][arm.name] = self._bandit.initial_cell(
                    told, types.RequestType(name)
                )

    def serve(self, request_type: str, rewards: FloatArray) -> int:
        cells = self._cells[request_type]
        chosen = self._bandit.pick_best(
            cells, self._costs, self._weights.quality, self._weights.cost, rng=self._rng
        )
        arm = self._arms.index(chosen)
        reward = float(rewards[arm])
        cells[chosen] = self._bandit.apply_delta(cells[chosen], reward, 1.0 - reward)
        return arm


Maker = Callable[[int], Bandit]
"""A contender for a seed."""


def play(bandit: Bandit, request_types: Sequence[str], rewards: FloatArray) -> NDArray[np.int64]:
    """The arms chosen for these requests; `rewards` is (requests, arms)."""
    served = (bandit.serve(kind, each) for kind, each in zip(request_types, rewards, strict=True))
    return np.fromiter(served, np.int64, len(request_types))
