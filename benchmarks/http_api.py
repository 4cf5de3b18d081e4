"""How many picks and outcomes does one API process answer, and how fast?

One `routefold serve`, one consumer, Kafka and Postgres run on this machine beside the load
generator; every turn and outcome is published, folded and learned from meanwhile. CONNECTIONS
keep-alive connections each send the next request when the last is answered (closed loop), so a rate
is what the whole machine can do: with few cores the servers and the generator share them with the
API. A warm-up with outcomes comes first: connections, tables for what was learned, the JIT of the
broker.

- picks, type given: a session id and the request type.
- picks, 900 bytes to classify: a session id and the messages; their type is read in the API.
- outcomes: batches of BATCH, each answered when the broker has all of them. The tokens are those of
  the picks before; where a run needs more of them than there are, outcomes are sent again, which
  costs the API the same.

Beside rate and latency stands the processor time that the API spent on each, its publishing and
learning included: other programs on the machine move it far less than the rate.

Target: at least 3,000 picks a second, p99 at most 30 ms, on two cores. BENCH_SECONDS sets how long
each case is measured.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Final

import uvloop

from benchmarks.gateway import Gateway, batches, chats, pick_request, typed_pick
from benchmarks.installation import Installation, installation, run_seconds
from benchmarks.loadgen import LoadResult, run_load
from benchmarks.report import print_figure
from routefold.stack.ports import LOOPBACK

CONNECTIONS: Final = 32
BATCH: Final = 50
SECONDS: Final = 10.0
WARM_UP_S: Final = 3.0
# Different requests per case, prepared before it: the generator's own work is writing bytes.
_PREPARED: Final = 5_000


def run() -> None:
    seconds = run_seconds(SECONDS)
    rng = random.Random(1)
    tokens: list[str] = []

    def keep_token(_: int, status: int, body: bytes) -> None:
        if status == 200:
            tokens.append(json.loads(body)["turn_token"])

    with installation() as installed:
        gateway = Gateway(rng, batch=BATCH)
        _load(installed, gateway.request, WARM_UP_S, gateway.answered)

        requests = [typed_pick(rng) for _ in range(_PREPARED)]
        _report("picks, type given", *_load(installed, _in_turn(requests), seconds, keep_token))

        requests = [pick_request(rng, messages=messages) for messages in chats(_PREPARED, rng)]
        load = _load(installed, _in_turn(requests), seconds, keep_token)
        _report("picks, 900 bytes to classify", *load)

        requests = batches(tokens, BATCH, rng)
        load = _load(installed, _in_turn(requests), seconds)
        _report(f"outcomes, batches of {BATCH}", *load, what="outcome", each=BATCH)


def _in_turn(requests: Sequence[bytes]) -> Callable[[int], bytes]:
    return lambda number: requests[number % len(requests)]


def _load(
    installed: Installation,
    requests: Callable[[int], bytes],
    seconds: float,
    on_answer: Callable[[int, int, bytes], None] | None = None,
) -> tuple[LoadResult, float]:
    """The result, and the seconds of processor time that the API spent."""
    before = installed.api.cpu_times()
    load = run_load(LOOPBACK, installed.port, requests, CONNECTIONS, seconds, on_answer)
    result = uvloop.run(load)
    after = installed.api.cpu_times()
    return result, after.user + after.system - before.user - before.system


def _report(
    case: str, result: LoadResult, processor_s: float, what: str = "pick", each: int = 1
) -> None:
    processor_us = processor_s / max(1, result.requests * each) * 1e6
    print_figure("http", case, "throughput", result.requests_per_s * each, f"{what}s/s")
    print_figure("http", case, "processor time of the API", processor_us, f"us/{what}")
    print_figure("http", case, "latency, p50", result.percentile_ms(50), "ms")
    print_figure("http", case, "latency, p99", result.percentile_ms(99), "ms")
    print_figure("http", case, "errors", result.errors, "requests")
