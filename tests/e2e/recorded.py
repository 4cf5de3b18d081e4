"""A small recorded log: two request types, each with one arm that is much better."""

from __future__ import annotations

import json
import random
from pathlib import Path

ROWS = 200
RATES = {"writing": {"a": 0.9, "b": 0.2}, "general": {"a": 0.2, "b": 0.9}}


def write_log(directory: Path) -> Path:
    """The same file each time."""
    rng = random.Random(1)
    path = directory / "log.jsonl"
    with path.open("w") as file:
        for number in range(ROWS):
            rtype = ("writing", "general")[number % 2]
            outcomes = {
                arm: {"y": int(rng.random() < rate), "usd": 0.001, "in": 100, "out": 20}
                for arm, rate in RATES[rtype].items()
            }
            file.write(json.dumps({"rtype": rtype, "r": outcomes}) + "\n")
    return path
