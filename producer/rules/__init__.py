"""The classifier's rules, one file per reason for a type; see :mod:`producer.rules.model`."""

from __future__ import annotations

from typing import Final

from producer.rules import code, design, languages, lookup, reasoning, writing
from producer.rules.model import Cue, Pair

CUES: Final[tuple[Cue, ...]] = (
    *code.CUES,
    *design.CUES,
    *reasoning.CUES,
    *writing.CUES,
    *lookup.CUES,
    *languages.CUES,
)
PAIRS: Final[tuple[Pair, ...]] = (
    *code.PAIRS,
    *design.PAIRS,
    *reasoning.PAIRS,
    *writing.PAIRS,
    *lookup.PAIRS,
    *languages.PAIRS,
)
