"""How long after an outcome was accepted do picks know of it?

TURNS_PER_S turns a second for 20 s over HTTP, each a pick and, in a batch of BATCH, its outcome;
requests are due by the clock (open loop), so a slow answer delays nothing behind it. 8 arms, 7
request types, one consumer and one API process, servers and gateway on the same machine.

Measured twice:

- by the API: from the broker's answer to the moment when a snapshot that counts the outcome is in
  use (`freshness_ms` of the router's state), over its last 10,000 outcomes.
- from outside: from the 202 to the first answered pick of that request type whose snapshot version
  counts the outcome; the outcome's place in the log is read from the log afterwards. This includes
  what the first leaves out: tables are rebuilt at most ten times a second for each type, and there
  has to be a pick to see it, here one each 14 ms on average.

Target: p50 at most 150 ms, p99 at most 1 s. BENCH_SECONDS sets how long turns go on.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import numpy as np
import uvloop

from benchmarks.gateway import Gateway
from benchmarks.installation import Installation, installation, run_seconds
from benchmarks.loadgen import LoadResult, run_load
from benchmarks.report import print_figure
from routefold.stack.ports import LOOPBACK
from schemas.events import Outcome
from tests.fixtures.pipeline import events_in_log

TURNS_PER_S: Final = 500
SECONDS: Final = 20.0
WARM_UP_S: Final = 3.0
BATCH: Final = 25
# Twice the target: picks go on after the last outcome, to see it in use.
_LOOK_OUT_S: Final = 2.0
_CONNECTIONS: Final = 64
_CASE: Final = f"{TURNS_PER_S} turns/s"


def run() -> None:
    rng = random.Random(1)
    witness = Witness()
    with installation() as installed:
        _load(installed, Gateway(rng, batch=BATCH), WARM_UP_S)
        turns = Gateway(rng, batch=BATCH, on_pick=witness.picked, on_accepted=witness.accepted)
        result = _load(installed, turns, run_seconds(SECONDS))
        _load(installed, Gateway(rng, batch=None, on_pick=witness.picked), _LOOK_OUT_S)
        inside = installed.state()["freshness_ms"]
        bench = installed.bench
        log = asyncio.run(events_in_log(bench.bootstrap_servers, bench.topics))
    delays_ms, unseen = witness.delays_ms(log)

    print_figure("freshness", _CASE, "turns", turns.picks / result.seconds, "turns/s")
    print_figure("freshness", _CASE, "errors", result.errors, "requests")
    print_figure("freshness", _CASE, "request latency, p99", result.percentile_ms(99), "ms")
    print_figure("freshness", _CASE, "by the API, samples", inside["samples"], "outcomes")
    for percent in (50, 99):
        name = f"p{percent}"
        print_figure("freshness", _CASE, f"by the API, {name}", inside[name], "ms")
        outside = float(np.percentile(delays_ms, percent)) if delays_ms else float("nan")
        print_figure("freshness", _CASE, f"from outside, {name}", outside, "ms")
    print_figure("freshness", _CASE, "from outside, samples", len(delays_ms), "outcomes")
    print_figure("freshness", _CASE, "from outside, never seen in use", unseen, "outcomes")


class Witness:
    """Sees outcomes accepted, and outcomes in use: the version in a pick's answer says so."""

    def __init__(self) -> None:
        self._accepted: dict[bytes, float] = {}
        self._in_use: dict[str, list[tuple[float, list[int]]]] = defaultdict(list)

    def accepted(self, outcome_ids: Sequence[str]) -> None:
        """The API has just accepted them."""
        now = time.monotonic()
        self._accepted.update((UUID(outcome_id).bytes, now) for outcome_id in outcome_ids)

    def picked(self, answer: Mapping[str, Any]) -> None:
        """A pick has just been answered."""
        places = answer["snapshot"]["version"].split(".")
        offsets = [0 if place == "-" else int(place) for place in places]
        self._in_use[answer["request_type"]].append((time.monotonic(), offsets))

    def delays_ms(self, log: Mapping[int, Sequence[object]]) -> tuple[list[float], int]:
        """From acceptance to use, in milliseconds, and how many outcomes were never seen in use.

        `log` has every event by partition, the first at offset 0. A version counts the events
        before the offset that it names.
        """
        delays: list[float] = []
        unseen = 0
        for partition, events in log.items():
            use = {kind: _Use(seen, partition) for kind, seen in self._in_use.items()}
            for offset, event in enumerate(events):
                if not isinstance(event, Outcome) or event.outcome_id not in self._accepted:
                    continue
                used = use[event.request_type].of(offset)
                if used is None:
                    unseen += 1
                else:
                    delays.append(max(0.0, used - self._accepted[event.outcome_id]) * 1000)
        return delays, unseen


class _Use:
    """When the picks of one type first counted an offset of one partition."""

    def __init__(self, seen: Sequence[tuple[float, Sequence[int]]], partition: int) -> None:
        self._times = [at for at, _ in seen]
        # answers may overtake each other on different connections; what is in use never goes back
        self._counted = np.maximum.accumulate([offsets[partition] for _, offsets in seen])

    def of(self, offset: int) -> float | None:
        """The time of the first answer that counts it; None if there was none."""
        index = int(np.searchsorted(self._counted, offset, side="right"))
        return self._times[index] if index < len(self._times) else None


def _load(installed: Installation, gateway: Gateway, seconds: float) -> LoadResult:
    batches_per_s = TURNS_PER_S / gateway.batch if gateway.batch else 0.0
    return uvloop.run(
        run_load(
            LOOPBACK,
            installed.port,
            gateway.request,
            _CONNECTIONS,
            seconds,
            gateway.answered,
            per_s=TURNS_PER_S + batches_per_s,
        )
    )
