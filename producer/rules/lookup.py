"""Factual lookup: something known, asked for by name, not worked out.

What a text opens with counts most; a wh-word later in the text is only a hint, because every long
task contains one. Questions about the assistant or its opinion look the same and are pushed back.
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Maybe, Pair, any_of, mark, phrase
from schemas.request_types import FACTUAL_LOOKUP

_BE: Final = "is|are|was|were|s"
_DONE: Final = any_of(
    "wrote|invented|discovered|founded|painted|composed|directed|won|killed|created|built|said",
    "played|sang|developed|designed|ruled|led|became|has|had|holds|owns|first",
)
_ATTRIBUTE: Final = any_of(
    "capital|population|birthplace|president|author|director|currency|founder|inventor|king",
    "queen|ceo|year|prime minister|mayor|nationality|height|length|name|date|origin|symbol",
    "boiling point|history|function|melting point|role|types?|members|causes?|symptoms?",
    "features?|characteristics?",
)
_PREPOSITION: Final = Maybe("in|on|at|of|from|to|for|under")

CUES: Final = (
    phrase(
        "who_when_where",
        {FACTUAL_LOOKUP: 4},
        (OPENING, "who|whom|whose|when|where", any_of(_BE, "did|does|do", _DONE)),
    ),
    phrase("what", {FACTUAL_LOOKUP: 2}, (OPENING, _PREPOSITION, "what|whats")),
    phrase("what_is", {FACTUAL_LOOKUP: 1}, (OPENING, "what", _BE), (OPENING, "whats")),
    mark("is_it", {FACTUAL_LOOKUP: 2}, r"^\W*(?:is|are|was|were|did|does|has)\b"),
    phrase(
        "of_which", {FACTUAL_LOOKUP: 1}, ("in|by|of|for|at|on|to|from|held|won", "which|what|whom")
    ),
    phrase("which", {FACTUAL_LOOKUP: 3}, (OPENING, _PREPOSITION, "which")),
    phrase(
        "why_how",
        {FACTUAL_LOOKUP: 2},
        (OPENING, "(why|how) (is|are|was|were|do|does|did)"),
    ),
    phrase(
        "explain",
        {FACTUAL_LOOKUP: 2},
        (OPENING, "explain|describe|what happen(s|ed)"),
        "tell me (more )?about",
    ),
    phrase(
        "measure",
        {FACTUAL_LOOKUP: 2},
        (OPENING, "how (tall|old|long|far|big|large|deep|high|heavy|fast|many|much|often)"),
    ),
    mark(
        "wh_sentence",
        {FACTUAL_LOOKUP: 1},
        r"(?:^|[.!?:\n])\s*(?:who|whom|whose|when|where|which|what)\b",
    ),
    phrase(
        "define",
        {FACTUAL_LOOKUP: 3},
        (OPENING, "define"),
        "(definition|meaning) of|stands? for|synonyms? (of|for)",
    ),
    phrase("attribute_opening", {FACTUAL_LOOKUP: 1}, (OPENING, Maybe("the"), _ATTRIBUTE, "of|for")),
    mark("mean", {FACTUAL_LOOKUP: 1}, r"\bmean\W*(?:$|\?|in )"),
    phrase(
        "attribute_of",
        {FACTUAL_LOOKUP: 1},
        (_ATTRIBUTE, "of|for"),
    ),
    phrase(
        "year_place",
        {FACTUAL_LOOKUP: 1},
        (
            "in|which|what",
            Maybe("which|what"),
            "year|city|country|century|state|decade|band|film|movie|book|actor|team|river|planet",
        ),
    ),
    phrase("of_the_following", {FACTUAL_LOOKUP: 2}, "which of (the following|these)"),
    mark("wh_question_end", {FACTUAL_LOOKUP: 1}, r"\b(?:what|which|who|whom)\b[^.?!\n]*\?\s*$"),
    phrase("difference", {FACTUAL_LOOKUP: 2}, "differences? between"),
    phrase("list_facts", {FACTUAL_LOOKUP: 3}, (OPENING, "list|name|enumerate")),
    phrase(
        "origin",
        {FACTUAL_LOOKUP: 1},
        "according to|known as|named after|(born|died|located|founded) in",
    ),
    # --- looks like a question of fact, is not --------------------------------------------------
    phrase(
        "small_talk",
        {FACTUAL_LOOKUP: -4},
        "do you (think|feel|like|prefer|want|believe)|how are you|what s up|whats up|what s next",
        "what if|your (opinion|name|favou?rite|thoughts|advice)|what should (i|we)",
        "should i (buy|wear|cook|eat|give|watch|read|do|say|go)|(how|what) about",
        "the best (way|restaurant|place)",
        (
            OPENING,
            "(is|are|was|were|did|does|has) (this|that|it|you|he|she|they|there|my|your|we|i)",
        ),
    ),
)

PAIRS: Final[tuple[Pair, ...]] = ()
