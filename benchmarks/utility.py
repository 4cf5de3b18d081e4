"""How close does a router that sees only what it picks come to the best arm of each request type?

Recorded logs in which every model answered every prompt. Ten times (`BENCH_SEEDS`), with other
seeds, 20,000 requests are drawn from a log with replacement. All arms have the same prior, and each
is priced at its mean cost in the log. Utility is 0.7 · outcome + 0.3 · cheapness, where cheapness
is 1 for the cheapest arm and 0 for the dearest. A contender learns the outcome of the arm that it
picked, and no other.

Figures are in percent of the per-type oracle: what the same requests would have earned with the arm
that has the largest mean utility in the log among the prompts of the request's type. All contenders
get the same requests, so two of them are compared seed by seed.

Ours goes by way of every stage but the servers (`benchmarks.learner`), at 200 requests/s of event
time: an outcome is folded with its batch, and tables are renewed as in production. Each request is
a session of its own. In the case "delayed" an outcome is reported 500 requests later. LiteLLM's
adaptive router is fed by its own update function, each outcome at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.bandits import (
    QUALITY,
    FloatArray,
    LiteLLM,
    Maker,
    Routefold,
    Thompson,
    Uniform,
    play,
)
from benchmarks.litellm_version import require_litellm
from benchmarks.report import OURS, print_figure
from routefold.play.log import read_log
from schemas.router_config import Arm, Price, RouterConfig, Weights

_BESIDE: Final = Path(__file__).parents[2] / "shared" / "data"
DATA: Final = Path(os.environ.get("BENCH_ROUTING_LOGS", _BESIDE))
LOGS: Final = ("api2024", "mmlu_pro")
SEEDS: Final = int(os.environ.get("BENCH_SEEDS", "10"))
TURNS: Final = 20_000
DELAY_TURNS: Final = 500
STEP_MS: Final = 5
WEIGHTS: Final = Weights(quality=0.7, cost=0.3)


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A log as contenders meet it. Arrays are (rows, arms)."""

    config: RouterConfig
    request_types: Sequence[str]  # of each row
    reward: FloatArray
    utility: FloatArray
    best: NDArray[np.int64]  # for each row, the arm of the per-type oracle

    @classmethod
    def of(cls, request_types: Sequence[str], reward: FloatArray, usd: FloatArray) -> Self:
        """From each row's type, outcomes in 0..1 and the arms' mean costs."""
        arms = tuple(
            Arm(name=f"arm-{number}", price=Price(usd_per_request=float(cost)))
            for number, cost in enumerate(usd)
        )
        config = RouterConfig(
            router="utility",
            arms=arms,
            request_types=tuple(sorted(set(request_types))),
            weights=WEIGHTS,
            rewards={QUALITY: 1.0},
            stickiness="turn",
        )
        cheapness = (usd.max() - usd) / np.ptp(usd)
        utility = WEIGHTS.quality * reward + WEIGHTS.cost * cheapness
        types = np.array(request_types)
        best = np.empty(len(types), dtype=np.int64)
        for name in config.request_types:
            best[types == name] = utility[types == name].mean(axis=0).argmax()
        return cls(config, request_types, reward, utility, best)

    def drawn(self, seed: int, turns: int) -> NDArray[np.int64]:
        """The rows of a seed's requests."""
        return np.random.default_rng(seed).integers(len(self.request_types), size=turns)

    def percent_of_oracle(self, make: Maker, seed: int, turns: int) -> float:
        """Utility of one run."""
        rows = self.drawn(seed, turns)
        picks = play(make(seed), [self.request_types[row] for row in rows], self.reward[rows])
        earned = self.utility[rows, picks].sum()
        return float(100 * earned / self.utility[rows, self.best[rows]].sum())


def read_problem(path: Path) -> Problem:
    """The problem in a recorded log whose rows give their request types."""
    log = read_log(path)
    types = [kind for kind in log.request_types if kind is not None]
    return Problem.of(types, log.reward, log.cost_usd.mean(axis=0))


def contenders(config: RouterConfig) -> Iterator[tuple[str, str, Maker]]:
    """(case, who, contender) of every run."""
    yield "at once", OURS, lambda seed: Routefold(config, seed, step_ms=STEP_MS)
    yield (
        f"delayed by {DELAY_TURNS} turns",
        OURS,
        lambda seed: Routefold(config, seed, step_ms=STEP_MS, delay_turns=DELAY_TURNS),
    )
    yield "at once", "uniform", lambda seed: Uniform(config, seed)
    yield "at once", "thompson", lambda seed: Thompson(config, seed)
    name = require_litellm("its adaptive router is left out")
    if name is None:
        return
    yield "at once", name, lambda seed: LiteLLM(config, seed)


def run() -> None:
    for name in LOGS:
        path = DATA / f"routing_{name}.jsonl.gz"
        if not path.exists():
            print(f"no log at {path}: set BENCH_ROUTING_LOGS", file=sys.stderr)
            continue
        _measure(name, read_problem(path))


def _measure(log: str, problem: Problem) -> None:
    ours: FloatArray | None = None
    for case, who, make in contenders(problem.config):
        runs = np.array([problem.percent_of_oracle(make, seed, TURNS) for seed in range(SEEDS)])
        where = f"{log}, {case}"
        print_figure("utility", where, "mean", runs.mean(), "% of oracle", who)
        print_figure("utility", where, "standard error", standard_error(runs), "% of oracle", who)
        print_figure("utility", where, "lowest seed", runs.min(), "% of oracle", who)
        if ours is None:
            ours = runs
            continue
        mean, error = paired(ours, runs)
        rival = "ours" if who == OURS else who
        versus = f"{log}, ours at once minus {rival} {case}"
        print_figure("utility", versus, "mean difference", mean, "% of oracle")
        print_figure("utility", versus, "standard error", error, "% of oracle")
        print_figure("utility", versus, "t", mean / error, "standard errors")


def paired(ours: FloatArray, theirs: FloatArray) -> tuple[float, float]:
    """Mean of the differences seed by seed, and its standard error."""
    differences = ours - theirs
    return float(differences.mean()), standard_error(differences)


def standard_error(runs: FloatArray) -> float:
    """Of the mean of two or more runs."""
    return float(runs.std(ddof=1) / sqrt(len(runs)))
