"""The request types a router learns about when its configuration names no others.

The more specific a type, the earlier it stands: with equal evidence the classifier takes the
earlier one. ``general`` is what is left when nothing speaks for another type.
"""

from __future__ import annotations

from typing import Final

CODE_GENERATION: Final = "code_generation"
CODE_UNDERSTANDING: Final = "code_understanding"
TECHNICAL_DESIGN: Final = "technical_design"
ANALYTICAL_REASONING: Final = "analytical_reasoning"
WRITING: Final = "writing"
FACTUAL_LOOKUP: Final = "factual_lookup"
GENERAL: Final = "general"

REQUEST_TYPES: Final[tuple[str, ...]] = (
    CODE_GENERATION,
    CODE_UNDERSTANDING,
    TECHNICAL_DESIGN,
    ANALYTICAL_REASONING,
    WRITING,
    FACTUAL_LOOKUP,
    GENERAL,
)
