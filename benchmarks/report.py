"""JSON lines on standard output."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version

from routefold.stack.broker import KAFKA_VERSION

OURS = f"routefold {version('routefold')}"


def print_machine() -> None:
    """What the figures below were measured on."""
    libraries = ("aiokafka", "fastavro", "polars", "numpy", "psycopg", "fastapi", "uvicorn")
    line = {
        "bench": "machine",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "kafka": KAFKA_VERSION,
        **{name: version(name) for name in libraries},
    }
    print(json.dumps(line), flush=True)


def print_figure(
    bench: str, case: str, metric: str, value: float, unit: str, who: str = OURS
) -> None:
    """One figure."""
    line = {"bench": bench, "case": case, "who": who, "metric": metric}
    print(json.dumps({**line, "value": round(value, 3), "unit": unit}), flush=True)
