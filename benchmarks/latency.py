"""Twenty deployments of one model, four of them fast: who finds them, and who notices a change?

40 clients in a closed loop, in simulated time. Time per request is lognormal: slow ones have a mean
of 1,588 ms and a 95th percentile of 2,243 ms, fast ones 583 and 790. After 2,000 requests the
four fast ones take 3 s; in the case "recovery" they are fast again after 1,000 more. The case "two
replicas" has its clients spread over two API replicas, and outcomes that arrive up to half a second
late and in any order.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from math import exp, log, sqrt
from statistics import median
from typing import Any, Final, Protocol

from benchmarks.latency_rivals import LiteLLMLowestLatency
from benchmarks.learner import Learner
from benchmarks.litellm_version import require_litellm
from benchmarks.report import OURS, print_figure
from schemas.request_types import GENERAL
from schemas.router_config import RouterConfig
from tests.factories import T0

SEEDS: Final = 5
CLIENTS: Final = 40
BEFORE: Final = 2000
AFTER: Final = 1000
RECOVERY: Final = 15_000
SLOW: Final = tuple(f"slow-{i:02}" for i in range(16))
FAST: Final = tuple(f"fast-{i}" for i in range(4))
_SLOWED_MS: Final = 3000.0
_LATE_MS: Final = 500
# A share is looked for in so many requests.
_WINDOW: Final = 50


class Chooser(Protocol):
    """Whom to call next, and what came of it. Time is in milliseconds."""

    def pick(self, client: int, now_ms: int, /) -> tuple[str, Any]:
        """The deployment, and what `ended` needs to know of the call."""
        ...

    def ended(self, call: Any, deployment: str, latency_ms: float, now_ms: int, /) -> None: ...


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Times with this mean and 95th percentile."""

    mean_ms: float
    p95_ms: float

    def sample(self, rng: random.Random) -> float:
        # ln(p95/mean) = 1.645 s - s²/2
        ratio = log(self.p95_ms / self.mean_ms)
        sigma = 1.645 - sqrt(1.645**2 - 2 * ratio)
        return exp(log(self.mean_ms) - sigma**2 / 2 + sigma * rng.gauss(0, 1))


_TIMES: Final = {False: Lognormal(1588, 2243), True: Lognormal(583, 790)}
_SLOWED: Final = Lognormal(_SLOWED_MS, _SLOWED_MS * 1.36)


class Ours:
    """A router with one arm of twenty deployments, all defaults."""

    def __init__(self, seed: int, *, replicas: int, shuffle: bool) -> None:
        arm = {"name": "model", "deployments": [*SLOW, *FAST]}
        config = RouterConfig.model_validate(
            {"router": "bench", "arms": [arm], "request_types": [GENERAL], "stickiness": "turn"}
        )
        self._learner = Learner(
            config, random.Random(seed), replicas=replicas, partitions=4, shuffle=shuffle
        )
        self._replicas = replicas

    def pick(self, client: int, now_ms: int) -> tuple[str, Any]:
        self._until(now_ms)
        turn = self._learner.pick(GENERAL, replica=client % self._replicas)
        return turn.arm, turn

    def ended(self, call: Any, _deployment: str, latency_ms: float, now_ms: int) -> None:
        self._until(now_ms)
        self._learner.report(call, status="ok", latency_ms=latency_ms)

    def _until(self, now_ms: int) -> None:
        self._learner.wait(max(0, T0 + now_ms - self._learner.now_ms))


def requests(
    chooser: Chooser, rng: random.Random, n: int, *, slowed: range, late: bool
) -> Iterator[str]:
    """The deployments called by the first `n` requests, in the order in which they were picked."""
    order = count()
    # (time, order, what): first all clients call, then each again when its call has ended
    agenda: list[tuple[int, int, Callable[[int], None]]] = []
    picked: list[str] = []

    def at(time_ms: float, what: Callable[[int], None]) -> None:
        heapq.heappush(agenda, (round(time_ms), next(order), what))

    def call(client: int) -> Callable[[int], None]:
        def begin(now_ms: int) -> None:
            deployment, token = chooser.pick(client, now_ms)
            fast = deployment in FAST
            times = _SLOWED if fast and len(picked) in slowed else _TIMES[fast]
            picked.append(deployment)
            took = times.sample(rng)
            at(now_ms + took, call(client))
            waits = rng.uniform(0, _LATE_MS) if late else 0.0
            at(now_ms + took + waits, lambda now: chooser.ended(token, deployment, took, now))

        return begin

    for client in range(CLIENTS):
        at(0, call(client))
    while len(picked) < n:
        time_ms, _, what = heapq.heappop(agenda)
        what(time_ms)
    yield from picked[:n]


def share(picked: Sequence[str], among: Sequence[str]) -> float:
    """Percent of requests."""
    return 100 * sum(each in among for each in picked) / len(picked)


def moved_after(picked: Sequence[str], to: Sequence[str]) -> int:
    """Requests until 80 % of a window go there; all of them if they never do."""
    for end in range(_WINDOW, len(picked) + 1):
        if share(picked[end - _WINDOW : end], to) >= 80:
            return end
    return len(picked)


def figures(make: Callable[[int], Chooser], *, late: bool) -> dict[str, float]:
    """Medians over the seeds of the shares, worst of the largest."""
    n, slowed = BEFORE + AFTER, range(BEFORE, BEFORE + AFTER)
    runs = [
        list(requests(make(seed), random.Random(seed), n, slowed=slowed, late=late))
        for seed in range(SEEDS)
    ]
    moved = [moved_after(run[BEFORE:], SLOW) for run in runs]
    settled = [run[400:BEFORE] for run in runs]
    return {
        "fast share, first 200": median(share(run[:200], FAST) for run in runs),
        "fast share, first 200, worst": min(share(run[:200], FAST) for run in runs),
        "fast share, 400 to 2000": median(share(run, FAST) for run in settled),
        "fast share, 400 to 2000, worst": min(share(run, FAST) for run in settled),
        "largest share of one, worst": max(
            100 * Counter(run).most_common(1)[0][1] / len(run) for run in settled
        ),
        "first 40, most on one": max(Counter(run[:CLIENTS]).most_common(1)[0][1] for run in runs),
        "until 80 % moved": median(moved),
        "until 80 % moved, worst": max(moved),
    }


def recovery(make: Callable[[int], Chooser]) -> dict[str, float]:
    """How long it takes until what was slow for a while is found to be fast again."""
    slowed = range(BEFORE, BEFORE + AFTER)
    n = slowed.stop + RECOVERY
    picked = list(requests(make(0), random.Random(0), n, slowed=slowed, late=False))
    return {"until 80 % are back": moved_after(picked[slowed.stop :], FAST)}


def run() -> None:
    """Print what ours and LiteLLM's lowest-latency routing do, in one process."""
    _print("one replica", OURS, figures(lambda s: Ours(s, replicas=1, shuffle=False), late=False))
    _print("two replicas", OURS, figures(lambda s: Ours(s, replicas=2, shuffle=True), late=True))
    _print("recovery", OURS, recovery(lambda s: Ours(s, replicas=1, shuffle=False)))
    peer = require_litellm("its lowest-latency routing is left out")
    if peer is not None:
        name = f"{peer} lowest-latency"
        _print("one replica", name, figures(_litellm, late=False))
        _print("recovery", name, recovery(_litellm))


def _litellm(seed: int) -> Chooser:
    return LiteLLMLowestLatency(seed, (*SLOW, *FAST))


def _print(case: str, who: str, found: dict[str, float]) -> None:
    for metric, value in found.items():
        unit = "%" if "share" in metric else "requests"
        print_figure("latency", case, metric, value, unit, who)
