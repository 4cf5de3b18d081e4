"""Misalignment in English: the user corrects what was understood, and says again what was meant.

An ordinary follow-up ("now in Java", "what about Spain?", "make it shorter") is none, and neither
is "no" where the answer had asked something.
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Cue, Gap, Maybe, Weights, any_of, mark, phrase
from producer.signal_rules.names import DENIAL, Signal

_FOR: Final[str] = Signal.MISALIGNMENT
_CORRECTS: Final[Weights] = {_FOR: 3, Signal.SATISFACTION: -2}
_OBJECTS: Final[Weights] = {_FOR: 2, Signal.SATISFACTION: -2}

CUES: Final[tuple[Cue, ...]] = (
    mark(
        "no_first",
        {DENIAL: 2},
        r"^\W*(?:(?:hm+|uh|um|well|oh|ah)\W+)?(?:no+|nope|nah)(?:\W+no+)*\s*[,.!:;-]",
        r"^\W*(?:(?:hm+|uh|um|well|oh|ah)\W+)?(?:no+|nope)"
        r" (?:i|it|you|not|this|that|the|we|use|make|don't|in|should)\b",
    ),
    mark(
        "wrong_first",
        {_FOR: 2},
        r"^\W*(?:wrong|incorrect)\s*(?:$|[,.!:;-])",
        r"^\W*(?:wrong (?:answer|again)"
        r"|not (?:quite|exactly|what|that|like|right|correct|true|good))\b",
        r"^\W*wrong \w+\s*(?:$|[.,!;:])|^\W*not (?:this|that|the|these|those)\b",
        r"^\W*(?:didn't|doesn't|does not|did not|not|isn't|no luck)(?: work(?:ing|s)?)?"
        r"(?: either| at all)?\W*$",
        r"^\W*👎",
    ),
    phrase(
        # The answer to "anything else?".
        "no_more",
        {_FOR: -3, DENIAL: -3},
        (
            OPENING,
            "no|nope|nah",
            any_of(
                "thanks|thank|problems?|worries|need|further|more|nothing|other|questions|not now",
                "that s (all|it|fine|ok|okay|good|everything)|that (is|will be) (all|it|fine)",
                "that ll be|i m (good|fine|ok|all)|it s (ok|okay|fine|all)|i don t (need|have)",
                "i do not (need|have)|i (would|d) (like|prefer)|i just|preference|matter|idea",
            ),
        ),
        (
            OPENING,
            "wrong|false|no|incorrect",
            "positives?|negatives?|answers?|way|spelling|turn|code|sql|one|such",
        ),
        "not really",
    ),
    phrase(
        "i_meant",
        _CORRECTS,
        "i meant|i (was|am|m) (not )?(asking|talking about|referring)|i never (asked|said|wanted)",
        "i (did not|didn t) (ask|mean|say|want|request)|(what|like|as) i (said|told)",
        "i (already |explicitly |specifically |clearly )?(said|told you|asked (you|for|about|to))",
        "i already (told|asked|said|gave|mentioned)|(what|that) i (asked|meant)",
        "my (actual )?question (was|is)|the question (was|is) (not|about)",
        "let me (rephrase|clarify|be (clear|clearer|more specific)|restate|reword)|to be clearer",
        ("i", "wanted|asked for|said", Gap(3), "not"),
        "i don t think you (understood|understand|got|read|answered)|(as|like) i asked",
        "in other words i|what i mean( is)?|i mean the|not the expected",
    ),
    mark(
        # "It should be 17, not 71." "I need Monday, not Tuesday."
        "this_not_that",
        _OBJECTS,
        r"\bshould(?: be| have been)? [^.?!,\n]+, not\b",
        r"\b(?:is|it's|meant|asked for|need|wanted) [^.?!,\n]+, not (?:the |an? )?\w+\W*$",
    ),
    phrase(
        "once_more",
        _OBJECTS,
        (
            "read|re read|reread|look at",
            Maybe("it|my|the|that|this"),
            Maybe("question|message|request|prompt|task|instructions"),
            "again|carefully|properly",
        ),
        "(try|do|answer|think|calculate|compute|redo) (it |that |this )?(again|over)|redo it",
        "try (a|something) (different|else)|start over|i disagree|not convinced",
        (
            OPENING,
            "instead|actually no|wait no|nothing (changed|changes|happened|happens)|no change",
        ),
        "nothing like (what|the)|not at all what",
        "supposed to (be|return|have|give)|there (is|s) no such",
    ),
    phrase(
        # Whoever doubts may be wrong: it takes praise back, and is no correction.
        "doubt",
        {Signal.SATISFACTION: -2},
        "are you sure|you sure|is (that|this) (really )?(right|correct|true)|i doubt",
        "can t be right",
        "i don t think (so|that|this|it|you)|double check|check (that |it |this )?again",
    ),
    phrase(
        "second_thought",
        {_FOR: 1},
        (OPENING, "actually|correction|oops|wait|hold on", "i|it|that|no|not|the|we"),
        "it should(n t)? (be|have|return|not|only|say|use|give)|one more time|once again",
        "as i mentioned|to clarify|i expected",
    ),
    phrase("instead_of", {_FOR: -2}, (OPENING, "instead of")),
)
