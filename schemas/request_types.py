"""The request types a router knows unless its configuration names others."""

from __future__ import annotations

from typing import Final

REQUEST_TYPES: Final[tuple[str, ...]] = (
    "code_generation",
    "code_understanding",
    "technical_design",
    "analytical_reasoning",
    "writing",
    "factual_lookup",
    "general",
)
