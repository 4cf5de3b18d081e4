"""What a user writes on the command line, as settings of a rebuild. Raises Misuse."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from routefold.errors import Misuse

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
NEVER: Final = "never"
EVERY_ROUTER: Final = "*"

ArchiveOption = Annotated[
    Path | None,
    typer.Option(
        "--archive",
        metavar="DIR",
        help="Read what an export holds from there, and only the rest from Kafka.",
        show_default=False,
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, max=256, help="Processes; else one a processor.", show_default=False
    ),
]
MaxRateOption = Annotated[
    float,
    typer.Option("--max-rate", min=0, metavar="EVENTS_PER_S", help="0: as fast as it goes."),
]
MaxLagOption = Annotated[
    int,
    typer.Option(
        "--max-lag",
        min=0,
        metavar="EVENTS",
        help="Rest while the live consumer is further behind than this; 0: never rest.",
    ),
]


def parse_half_lives(given: Iterable[str]) -> dict[str, float | None]:
    """`quality.slow=7d` and the like, as seconds; `never`: nothing is forgotten."""
    half_lives: dict[str, float | None] = {}
    for text in given:
        name, equals, duration = text.partition("=")
        if not equals:
            raise Misuse(f"--half-life {text!r}: write it like quality.slow=7d or latency.fast=10s")
        half_lives[name.strip()] = _seconds(text, duration.strip())
    return half_lives


def _seconds(text: str, duration: str) -> float | None:
    if duration == NEVER:
        return None
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise Misuse(
            f"--half-life {text!r}: {duration!r} is no duration; write 10s, 30m, 12h, 7d or "
            f"{NEVER!r}"
        )
    return float(match[1]) * _SECONDS[match[2]]


def read_reward_weights(file: Path | None) -> dict[str, dict[str, Any]]:
    """Reward weights by router from a YAML or JSON file.

    Either `metric: weight`, for every router, or `router: {metric: weight}`.
    """
    if file is None:
        return {}
    import yaml

    try:
        document = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise Misuse(f"{file} can't be read: {reason}") from None
    except yaml.YAMLError as error:
        raise Misuse(f"{file} is neither YAML nor JSON: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict) or not document:
        raise Misuse(f"{file}: write `metric: weight` lines, or `router: {{metric: weight}}`")
    by_router = {name: isinstance(value, dict) for name, value in document.items()}
    if all(by_router.values()):
        return {str(router): weights for router, weights in document.items()}
    if any(by_router.values()):
        raise Misuse(
            f"{file} mixes weights for every router with weights for some; write one or the other"
        )
    return {EVERY_ROUTER: document}
