"""The best arm turns bad: how many turns until the next best has taken its place?

Four arms of one request type, a turn every 10 s of event time, no prices, no weight on latency.
Success rates are .85, .7, .6 and .5; after 5,000 turns the first falls to .35. (As recorded in the
LLMDrift data: on "happy numbers" GPT-4 solved .84 in its snapshot of March 2023, .35 in June's.)
Twelve seeds; all contenders get the same outcomes.

The next best has taken the old one's place when, for the first time since the fall, it was picked
more often among the last 50 turns, all of them after the fall: so 50 turns are the least there can
be. A run ends 1,000 turns after the fall, and counts as 1,000 where that has not happened.

Ours is run with its defaults; without the fast half-life, which tells what that costs while nothing
drifts; and with 100,000 observations of the best arm behind it (folded in batches of 1,000 turns;
then, as always, a batch a turn). LiteLLM's adaptive router gets each outcome at once by its own
update function.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.bandits import QUALITY, FloatArray, LiteLLM, Maker, Routefold, Thompson, play
from benchmarks.learner import FOLD_EVERY_MS
from benchmarks.litellm_version import require_litellm
from benchmarks.report import OURS, print_figure
from benchmarks.utility import paired
from schemas.request_types import GENERAL
from schemas.router_config import RouterConfig

SEEDS: Final = 12
BEFORE: Final = np.array([0.85, 0.7, 0.6, 0.5])
AFTER: Final = np.array([0.35, 0.7, 0.6, 0.5])
OLD_BEST: Final = 0
NEXT_BEST: Final = 1
STEP_MS: Final = 10_000
TURNS_BEFORE: Final = 5_000
TURNS_AFTER: Final = 1_000
WINDOW: Final = 50
# What a router that has noticed should have behind it.
SETTLED: Final = 400
OBSERVED: Final = 100_000
_BATCH: Final = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The arms picked in one run."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]

    @property
    def turns_to_recover(self) -> int:
        return turns_to_overtake(self.after, OLD_BEST, NEXT_BEST)

    @property
    def settled_share(self) -> float:
        """Percent of the turns from SETTLED on that went to the next best arm."""
        return float(100 * np.mean(self.after[SETTLED:] == NEXT_BEST))

    @property
    def success_before(self) -> float:
        """Expected success before the fall, in percent of the best arm's."""
        return float(100 * BEFORE[self.before].mean() / BEFORE.max())


def turns_to_overtake(picks: NDArray[np.int64], old: int, new: int) -> int:
    """Turns until `new` was picked more often than `old` among the last WINDOW; all if never."""
    lead = np.cumsum((picks == new).astype(int) - (picks == old))
    lead[WINDOW:] -= lead[:-WINDOW].copy()
    ahead = np.flatnonzero(lead[WINDOW - 1 :] > 0)
    return int(ahead[0]) + WINDOW if len(ahead) else len(picks)


def router_config(**fields: Any) -> RouterConfig:
    """Four arms in one tier and one request type; `fields` are what a case changes."""
    arms = [{"name": f"arm-{number}"} for number in range(len(BEFORE))]
    base = {"router": "drift", "arms": arms, "request_types": [GENERAL], "stickiness": "turn"}
    return RouterConfig.model_validate({**base, "rewards": {QUALITY: 1.0}, **fields})


def with_history(config: RouterConfig, seed: int, observations: int) -> Routefold:
    """A router that has so many observations of its best arm, and is in the midst of its work."""
    bandit = Routefold(config, seed, step_ms=STEP_MS)
    rng = np.random.default_rng((seed, 2))
    bandit.learner.fold_every_ms = _BATCH * STEP_MS
    while _observed(bandit) < observations:
        play(bandit, [GENERAL] * _BATCH, outcomes(rng, BEFORE, _BATCH))
    bandit.learner.fold_every_ms = FOLD_EVERY_MS
    return bandit


def _observed(bandit: Routefold) -> float:
    """Outcomes of the best arm that its router has taken in."""
    of_arm = bandit.learner.evidence(GENERAL).get(bandit.learner.config.arm_names[OLD_BEST], {})
    return of_arm[QUALITY].slow.n if QUALITY in of_arm else 0.0


def outcomes(rng: np.random.Generator, rates: FloatArray, turns: int) -> FloatArray:
    """(turns, arms): 1 for success, 0 for failure, with these chances of success."""
    return (rng.random((turns, len(rates))) < rates).astype(np.float64)


def play_through(make: Maker, seed: int, turns_before: int = TURNS_BEFORE) -> Run:
    """One run: `turns_before` turns, the fall, and what follows."""
    rng = np.random.default_rng(seed)
    rewards = [outcomes(rng, BEFORE, turns_before), outcomes(rng, AFTER, TURNS_AFTER)]
    bandit = make(seed)
    return Run(*(play(bandit, [GENERAL] * len(each), each) for each in rewards))


def run() -> None:
    both, slow = router_config(), router_config(half_lives_s={"quality": {"fast": None}})
    default = _measure("defaults", OURS, lambda seed: Routefold(both, seed, step_ms=STEP_MS))
    alone = _measure(
        "without the fast half-life", OURS, lambda seed: Routefold(slow, seed, step_ms=STEP_MS)
    )
    _print_cost(default, alone)
    case = f"{OBSERVED:,} observations before the fall"
    _measure(case, OURS, lambda seed: with_history(both, seed, OBSERVED), turns_before=0)
    _measure("as it is", "thompson", lambda seed: Thompson(both, seed))
    name = require_litellm("its adaptive router is left out")
    if name is None:
        return
    _measure("as it is", name, lambda seed: LiteLLM(both, seed))


def _measure(case: str, who: str, make: Maker, turns_before: int = TURNS_BEFORE) -> Sequence[Run]:
    """Play a contender with every seed, and print how it recovered."""
    runs = [play_through(make, seed, turns_before) for seed in range(SEEDS)]
    turns = [each.turns_to_recover for each in runs]
    late = sum(each == TURNS_AFTER for each in turns)
    shares = [each.settled_share for each in runs]
    print_figure("drift", case, "turns to recover, median", median(turns), "turns", who)
    print_figure("drift", case, "turns to recover, worst seed", max(turns), "turns", who)
    print_figure("drift", case, f"not recovered in {TURNS_AFTER}", late, "seeds", who)
    settled = f"share of the next best after {SETTLED} turns"
    print_figure("drift", case, f"{settled}, median", median(shares), "%", who)
    print_figure("drift", case, f"{settled}, worst seed", min(shares), "%", who)
    return runs


def _print_cost(default: Sequence[Run], alone: Sequence[Run]) -> None:
    """What the fast half-life costs before anything drifts; below 0 where it gains."""
    with_it, without = (np.array([run.success_before for run in runs]) for runs in (default, alone))
    cost, error = paired(without, with_it)
    case = "before the fall, cost of the fast half-life"
    print_figure("drift", case, "mean", cost, "% of the best arm's success")
    print_figure("drift", case, "standard error", error, "% of the best arm's success")
