"""Simulated requests, in the format that `routefold play` reads: every model's outcome in each row.

Assumed, as nobody publishes it: request types are equally frequent; a request succeeds with the
published rate of its type, independently of other requests (Bernoulli); latencies are log-normal
around the published mean with LATENCY_SIGMA; all requests have the size below.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from routefold.demo.models import Model

# Medians of the conversation part of Azure's LLM inference trace 2023 (Patel et al., "Splitwise",
# ISCA 2024).
TOKENS_IN: Final = 1020
TOKENS_OUT: Final = 129
LATENCY_SIGMA: Final = 0.5
_USD_DIGITS: Final = 9  # a token of the cheapest model costs 1e-7


def simulate(models: Sequence[Model], rows: int, seed: int) -> Iterator[dict[str, Any]]:
    """`rows` requests; the same seed gives the same ones."""
    random = np.random.default_rng(seed)
    types = list(models[0].success)
    for number in range(rows):
        request_type = types[number % len(types)]
        solved = random.random(len(models))
        noise = random.standard_normal(len(models))
        yield {
            "rtype": request_type,
            "r": {
                model.name: {
                    "y": int(solved[index] < model.success[request_type]),
                    "usd": round(model.cost_usd(TOKENS_IN, TOKENS_OUT), _USD_DIGITS),
                    "in": TOKENS_IN,
                    "out": TOKENS_OUT,
                    "lat_s": round(_latency_s(model.latency_mean_s, float(noise[index])), 3),
                }
                for index, model in enumerate(models)
            },
        }


def _latency_s(mean_s: float, standard_normal: float) -> float:
    """A log-normal value with the given mean (not median)."""
    location = math.log(mean_s) - LATENCY_SIGMA**2 / 2
    return math.exp(location + LATENCY_SIGMA * standard_normal)


def write_log(path: Path, models: Sequence[Model], rows: int, seed: int) -> None:
    """A file for `routefold play`."""
    with path.open("w") as file:
        for row in simulate(models, rows, seed):
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
