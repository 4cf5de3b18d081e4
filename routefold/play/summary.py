"""What the played turns earned, beside what other choices would have earned on the same turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

import numpy as np

from routefold.play.baselines import (
    Choice,
    best_single,
    per_type_oracle,
    totals_by_type,
    uniform,
)
from routefold.play.ledger import Played
from routefold.play.log import FloatArray, Log
from routefold.play.report import Measure, Standing
from router_api.routing.policy import cheapness
from schemas.router_config import RouterConfig

QUARTERS: Final = 4


def utility(config: RouterConfig, reward: FloatArray) -> FloatArray:
    """What the router aims at, in the place of each reward: quality and cheapness, weighted.

    `reward` and the result are (rows, arms of the configuration).
    """
    cheap = np.asarray(cheapness(config.arms), dtype=np.float64)
    weighted: FloatArray = config.weights.quality * reward + config.weights.cost * cheap
    return weighted


class Summary:
    """What the played turns earned, beside what other choices would have earned on them."""

    def __init__(self, log: Log, config: RouterConfig, played: Played) -> None:
        columns = [log.arms.index(arm) for arm in config.arm_names]
        reward = log.reward[:, columns]
        self._arm_names = config.arm_names
        self._played = played
        self._reward = _Valued(reward, played)
        self._utility = _Valued(utility(config, reward), played)
        self._cost = _Valued(log.cost_usd[:, columns], played)

    @property
    def reward(self) -> Measure:
        return self._reward.measure()

    @property
    def utility(self) -> Measure:
        return self._utility.measure()

    @property
    def cost_usd(self) -> float:
        return float(self._cost.earned.sum())

    @property
    def shares(self) -> Mapping[str, Mapping[str, float]]:
        """{type: {arm: share of the type's turns}}, every arm of the router in every type."""
        played = self._played
        counts = np.zeros((len(played.type_names), len(self._arm_names)))
        np.add.at(counts, (played.types, played.arms), 1.0)
        return {
            name: dict(zip(self._arm_names, (of_type / of_type.sum()).tolist(), strict=True))
            for name, of_type in zip(played.type_names, counts, strict=True)
        }

    @property
    def type_turns(self) -> Mapping[str, int]:
        counts = np.bincount(self._played.types, minlength=len(self._played.type_names))
        return dict(zip(self._played.type_names, counts.tolist(), strict=True))

    @property
    def type_best(self) -> Mapping[str, str]:
        """{type: the arm of highest utility}, in hindsight."""
        oracle = per_type_oracle(self._utility.totals)
        return {
            name: self._arm_names[oracle.arm(number)]
            for number, name in enumerate(self._played.type_names)
        }

    @property
    def standings(self) -> tuple[Standing, ...]:
        """As played, and the other choices, by all three measures; empty without a turn."""
        turns = len(self._played)
        if not turns:
            return ()
        last = _quarters(turns)[-1]
        played = [("as played", slice(None)), ("as played, last quarter", last)]
        return (
            *(
                Standing(
                    label,
                    None,
                    float(self._reward.earned[part].mean()),
                    float(self._utility.earned[part].mean()),
                    1000.0 * float(self._cost.earned[part].mean()),
                )
                for label, part in played
                if len(self._reward.earned[part])
            ),
            *self._hindsight(turns),
        )

    def _hindsight(self, turns: int) -> Iterator[Standing]:
        shape = self._reward.totals.shape
        choices: list[tuple[str, Choice, bool]] = [
            ("uniform choice", uniform(*shape), False),
            ("best single arm by utility", best_single(self._utility.totals), True),
            ("best single arm by reward", best_single(self._reward.totals), True),
            ("best arm per type by utility", per_type_oracle(self._utility.totals), False),
            ("best arm per type by reward", per_type_oracle(self._reward.totals), False),
        ]
        for label, choice, single in choices:
            yield Standing(
                label,
                self._arm_names[choice.arm(0)] if single else None,
                choice.earns(self._reward.totals) / turns,
                choice.earns(self._utility.totals) / turns,
                1000.0 * choice.earns(self._cost.totals) / turns,
            )


class _Valued:
    """One value a (row, arm): what the played turns earned of it, and each arm's totals by type."""

    def __init__(self, values: FloatArray, played: Played) -> None:
        self.earned: FloatArray = values[played.rows, played.arms]
        self.totals = totals_by_type(values, played.rows, played.types, len(played.type_names))

    def measure(self) -> Measure:
        turns = len(self.earned)
        if not turns:
            return Measure(None, (None, None, None, None), None, None, None)
        first, second, third, fourth = (_mean(self.earned[part]) for part in _quarters(turns))
        return Measure(
            mean=_mean(self.earned),
            by_quarter=(first, second, third, fourth),
            uniform=uniform(*self.totals.shape).earns(self.totals) / turns,
            best_single=best_single(self.totals).earns(self.totals) / turns,
            per_type_oracle=per_type_oracle(self.totals).earns(self.totals) / turns,
        )


def _quarters(turns: int) -> list[slice]:
    ends = [turns * quarter // QUARTERS for quarter in range(QUARTERS + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]


def _mean(values: FloatArray) -> float | None:
    return float(values.mean()) if len(values) else None
