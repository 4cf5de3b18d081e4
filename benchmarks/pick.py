"""How long does a pick take inside the process, and what does new evidence cost?

For 2, 8 and 16 arms with 400 observations each, over four partitions, calls timed one by one,
garbage collection on; each figure includes the timer's own 0.1 µs or so. Nothing leaves the
process: there is no Kafka and no HTTP. The paths:

- `choose`: Router.choose with the table in place: the choice itself, with its exact probability
  and its fallbacks. Target: a median of at most 5 µs at 8 arms.
- `pick`: what RoutingService.pick adds: turn id, event, its place in the publisher's queue, signed
  token, metrics. The queue here is a bounded deque of the publisher's own entries, without its
  sender; encoding happens later, in the background, and is the figure `encode`.
- `pick + classify`: the same, with the request type read from 900 bytes of messages.
- `rebuild`: what a snapshot costs the next pick of its request type: checking its rows, the merge
  of all partitions, posteriors and table. Picks wait for at most ten a second of each type.

The peer is the loop of routers that sample on every request: `random.betavariate` for each arm from
the same posteriors, and the best weighted score. It neither knows the probability of what it picked
nor ranks fallbacks, and logs nothing: the figure beside it is `choose`.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry

from benchmarks.gateway import ROUTER, chats, router_config
from benchmarks.report import OURS, print_figure
from consumer.routers import PinnedHalfLives
from producer.batching import to_message
from producer.classifier import classify
from producer.entries import Entry
from producer.signals import detect
from router_api.metrics import Metrics
from router_api.picks import Picker, PickRequest
from router_api.routing.policy import cheapness
from router_api.routing.router import Router
from router_api.routing.state import RouterState
from router_api.tokens import TurnTokens
from schemas.evidence import SeriesKey, Sums
from schemas.request_types import GENERAL
from schemas.router_config import RouterConfig
from schemas.snapshot import Snapshot
from schemas.topics import DEFAULT_EVENT_PARTITIONS
from tests.factories import T0
from tests.snapshots import observed, snapshot

ARMS: Final = (2, 8, 16)
CALLS: Final = 50_000
REBUILDS: Final = 300
REQUESTS: Final = 1_000
OBSERVATIONS: Final = 100  # of each metric, arm and partition
PEER: Final = "random.betavariate loop"
ANSWERED: Final = 0.98  # share of calls
# What completions and scores leave behind, at the paces that the consumer keeps them.
_CALLS: Final = ("success", "health", "uptime")
_TIMES: Final = ("latency_ms", "ttft_ms")
_OTHERS: Final = ("quality", "picked", "tokens_in", "tokens_out", "cost_usd")


def run() -> None:
    for arms in ARMS:
        _measure(arms)


def _measure(arms: int) -> None:
    case = f"{arms} arms"
    rng = random.Random(arms)
    config = RouterConfig.model_validate(router_config(arms))
    learned = _learned(config, rng)
    state = RouterState()
    for share in learned:
        state.apply(share, T0)
    router = Router(config, 1, state)

    keys = [f"session-{n}".encode() for n in range(CALLS)]
    _report(case, "choose", _timed(lambda n: router.choose(GENERAL, keys[n], now_ms=T0), CALLS))
    _report(case, "choose", _timed(_sampler(router), CALLS), who=PEER)

    queue: deque[Entry] = deque(maxlen=REQUESTS)
    picker = _picker(router, queue)
    known = [PickRequest(session_id=f"session-{n}", request_type=GENERAL) for n in range(REQUESTS)]
    _report(case, "pick", _timed(lambda n: picker.pick(ROUTER, known[n % REQUESTS]), CALLS))
    unknown = [
        PickRequest(session_id=f"session-{n}", messages=messages)
        for n, messages in enumerate(chats(REQUESTS, rng))
    ]
    _report(
        case, "pick + classify", _timed(lambda n: picker.pick(ROUTER, unknown[n % REQUESTS]), CALLS)
    )
    turns = [entry.event for entry in queue]
    _report(case, "encode", _timed(lambda n: to_message(turns[n % len(turns)]), CALLS))

    newer = (replace(learned[0], source_offset=offset) for offset in count(2))

    def rebuild(_: int) -> None:
        state.apply(next(newer), T0)
        router.view(GENERAL, T0)

    _report(case, "rebuild", _timed(rebuild, REBUILDS))


def _learned(config: RouterConfig, rng: random.Random) -> list[Snapshot]:
    """A share for each partition, with the series that completions and scores leave behind.

    The dearer an arm the better it is, so that most of them are in the race.
    """
    last = len(config.arms) - 1
    paces = PinnedHalfLives.of(config).paces
    shares = []
    for partition in range(DEFAULT_EVENT_PARTITIONS):
        rows: dict[SeriesKey, Sums] = {}
        for index, arm in enumerate(config.arms):
            mean = 0.35 + 0.4 * index / last
            scores = [min(1.0, max(0.0, rng.gauss(mean, 0.2))) for _ in range(OBSERVATIONS)]
            answered = [float(rng.random() < ANSWERED) for _ in range(OBSERVATIONS)]
            for metric in (*_OTHERS, *_TIMES, *_CALLS):
                values = answered if metric in _CALLS else scores
                for pace, half_life_ms in paces(metric):
                    rows |= observed(
                        arm.name,
                        values,
                        metric=metric,
                        pace=pace,
                        half_life_ms=half_life_ms,
                        at_ms=T0,
                    )
        shares.append(snapshot(rows, partition=partition, as_of_ms=T0))
    return shares


def _sampler(router: Router) -> Callable[[int], tuple[float, str]]:
    """One pick by sampling, from the posteriors, prices and weights of `router`."""
    config = router.config
    view, _ = router.view(GENERAL, T0)
    quality, cost = config.weights.quality, config.weights.cost
    arms = [
        (name, belief.alpha, belief.beta, cost * cheap)
        for name, belief, cheap in zip(
            config.arm_names, view.beliefs.quality, cheapness(config.arms), strict=True
        )
    ]
    draw = random.betavariate

    def pick(_: int) -> tuple[float, str]:
        best = -1.0, ""
        for name, alpha, beta, offset in arms:
            score = quality * draw(alpha, beta) + offset
            if score > best[0]:
                best = score, name
        return best

    return pick


def _picker(router: Router, queue: deque[Entry]) -> Picker:
    return Picker(
        find_router=lambda _: router,
        emit=lambda turn, traceparent: queue.append(Entry(turn, traceparent)),
        tokens=TurnTokens(["k" * 64]),
        classifier=classify,
        detector=detect,
        metrics=Metrics(CollectorRegistry()),
        now_ms=lambda: time.time_ns() // 1_000_000,
        source="bench",
    )


def _timed(call: Callable[[int], object], calls: int) -> Sequence[int]:
    """Nanoseconds of each of `calls` calls, after a tenth as many that do not count."""
    clock = time.perf_counter_ns
    for n in range(calls // 10):
        call(n)
    taken = []
    for n in range(calls):
        begun = clock()
        call(n)
        taken.append(clock() - begun)
    return taken


def _report(case: str, path: str, taken_ns: Sequence[int], who: str = OURS) -> None:
    for name, percent in (("median", 50), ("p99", 99)):
        value = float(np.percentile(taken_ns, percent)) / 1000
        print_figure("pick", case, f"{path}, {name}", value, "us", who)
