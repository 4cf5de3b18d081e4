"""Analytical reasoning: an answer that has to be worked out from what the text gives.

Mathematics is recognised by notation, by its verbs with a mathematical object, and by quantities: a
text that states numbers and asks for another one. Lettered options are an exam; alone they lean
here, a plain knowledge question above them outweighs that.
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Gap, Pair, any_of, mark, phrase
from schemas.request_types import ANALYTICAL_REASONING, FACTUAL_LOOKUP

_MATH_NOUN: Final = any_of(
    "equations?|integrals?|derivatives?|limits?|matrix|matrices|determinants?|eigenvalues?",
    "eigenvectors?|probabilit(y|ies)|roots?|theorems?|lemma|inequalit(y|ies)|polynomials?",
    "vectors?|areas?|volumes?|price|perimeter|angles?|slopes?|sums?|sequences?|formulas?|modulo",
    "divisible|factors?|remainders?|ratios?|percent(age)?|averages?|mean|median|variance",
    "deviation|velocity|acceleration|forces?|energy|mass|cost|distances?|speed|frequency",
    "wavelength|voltage|resistance|current|pressure|temperature|molarity|number|concentration",
    "entropy|enthalpy|interest|profit|values?|expression|irrational|primes?|triangle|circle",
    "half life|equilibrium|elasticity",
)
_UNIT: Final = any_of(
    r"m/s|km/h|mph|kg|g|mg|km|cm|mm|nm|m|ml|l|j|kj|w|kw|v|mv|a|ma|ohms?|hz|khz|mhz|ghz|n|pa|kpa|atm|mol|ev",
    r"k|degrees?|feet|foot|ft|inch(?:es)?|miles?|lbs?|pounds?|gallons?|lit(?:er|re)s?|hours?|minutes?",
    r"seconds?|dollars|percent|years?|days?|weeks?|months?|fahrenheit|celsius",
)

# Numbers as they stand in word problems.
_NUMBER: Final = any_of(
    *map(str, range(1, 101)),
    "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|fifty|hundred",
    "dozen|half",
)

CUES: Final = (
    phrase(
        "math_verb",
        {},
        "solve|calculate|compute|evaluate|simplify|factori(s|z)e|integrate|differentiate|derive",
        "determine|find|estimate|maximi(s|z)e|minimi(s|z)e|what (is|was|will|would|s)|whats",
    ),
    phrase("math_noun", {}, _MATH_NOUN),
    phrase(
        "math_term",
        {ANALYTICAL_REASONING: 1},
        "integrals?|derivatives?|matrix|matrices|determinants?|eigen(value|vector)s?|theorems?",
        "lemma|inequalit(y|ies)|polynomials?|equations?|irrational|divisible|modulo|remainders?",
    ),
    phrase("convert", {}, (OPENING, "convert")),
    phrase(
        "calculate",
        {ANALYTICAL_REASONING: 3},
        "solve for|calculate|compute|estimate|derive|evaluate|integrate|differentiate|simplify",
    ),
    phrase(
        "prove",
        {ANALYTICAL_REASONING: 3},
        "(dis)?prove (that|the|by|it|or)|(show|verify|deduce) that",
    ),
    mark(
        "latex",
        {ANALYTICAL_REASONING: 3},
        r"\\(?:frac|int|sum|sqrt|begin|left|cdot|times|lim|infty|alpha|beta|theta|lambda|pi|mathrm|mathbb|leq)\b",
        r"\$\\?[a-z({|][a-z0-9_^{}()=+*/\\|,.<>-]*\$",
    ),
    mark(
        "notation",
        {ANALYTICAL_REASONING: 2},
        r"√|∑|∫|∀|∃|⊃|∧|∨|≡|≥|≤|²|³",
        r"\b\w+\^[{(]?-?\w|\b[xyn]\s*=\s*-?\d",
    ),
    mark(
        "arithmetic",
        {ANALYTICAL_REASONING: 4},
        r"\d x \d|\d\s*(?:[+*^]|×|÷|plus|times|divided by|minus|mod)\s*\(?\d|\d\s*% of \d",
    ),
    # A question at the end of what was told: "..., how many are left?"
    mark(
        "question_after",
        {},
        r"[.,;!?]\s+(?:then )?how (?:many|much|long|far|fast|old|tall|high|heavy)\b",
        r"[.,;!?]\s+(?:then )?what (?:is|was|will|would|percent|fraction)\b",
    ),
    mark("option_b", {}, r"(?m:^\s*\(?b ?[.):] )|\(b\) | b \) "),
    mark("option_c", {}, r"(?m:^\s*\(?c ?[.):] )|\(c\) | c \) "),
    phrase(
        "chance",
        {ANALYTICAL_REASONING: 2},
        "chances? (that|of|both)|what s the chance|likelihood|probabilit(y|ies)|permutations?",
        "expected value|standard deviation|variance|null hypothesis|bayes|odds of|dice|coins?",
        "at random|randomly|how many (different )?ways|confidence interval",
    ),
    phrase(
        "logic",
        {ANALYTICAL_REASONING: 2},
        "logic (puzzle|problem)|(formal|predicate|propositional) logic|puzzle|riddle|syllogism",
        "truth table|valid argument|argument is valid|deduc(e|tion)|fallac(y|ies)|if and only if",
        "if all|premises?|knights? and knaves?|counterexample|does it follow|it follows that",
        "must be true|comes next|better deal",
        "(older|younger|taller|shorter|heavier|faster|slower|left|right) (than|of)",
    ),
    mark("all_are", {ANALYTICAL_REASONING: 1}, r"\b(?:all|no|some) \w+ are\b"),
    # Up to three digits: four are most often a year, and knowledge questions name years too.
    mark("number", {}, r"\b\d{1,3}(?:[.,]\d+)?\b"),
    mark("unit", {}, rf"\d\s?(?:{_UNIT})\b|\d\s?(?:%|°)|\$\s?\d|(?:€|£)\s?\d"),
    phrase("numbers_near", {}, (_NUMBER, Gap(3), _NUMBER)),
    mark("number_series", {ANALYTICAL_REASONING: 2}, r"\d, ?\d+, ?\d"),
    phrase(
        "quantity_question",
        {},
        "how (many|much|long|far|fast|old)",
        "what (is|was|are|were|s|will be|would be|percent(age)?|fraction)|when (does|do|will)",
        "by how|how do i|which is",
    ),
    phrase(
        "proportions",
        {},
        "twice|thrice|(two|three|four|five|six) times|half|third|quarter|dozen|each|every|per",
        "remaining|total|left over|in total|altogether|gives? away|fewer|more than|less than",
        "as many|as much",
    ),
    phrase(
        "finance",
        {ANALYTICAL_REASONING: 1},
        "interest rate|compound(ed)?|annuity|depreciation|present value|cash flow|dividends?",
        "mark ?up|amorti(s|z)ation|(simple|compound) interest|discounted",
        "return on (equity|investment|assets)",
    ),
    phrase(
        "analysis",
        {ANALYTICAL_REASONING: 2},
        "analy(s|z)e|assess|critically evaluate|root causes?|step by step",
        "reason(ing)? (through|about)",
    ),
)

PAIRS: Final = (
    Pair("math_task", {ANALYTICAL_REASONING: 1}, ("math_verb",), ("math_noun",)),
    Pair("math_with_numbers", {ANALYTICAL_REASONING: 1}, ("calculate",), ("number",)),
    Pair("quantity_from_numbers", {ANALYTICAL_REASONING: 1}, ("number",), ("quantity_question",)),
    Pair(
        "several_numbers",
        {ANALYTICAL_REASONING: 1},
        ("numbers_near",),
        ("quantity_question", "calculate"),
    ),
    Pair(
        "word_problem",
        {ANALYTICAL_REASONING: 2},
        ("question_after",),
        ("numbers_near", "number", "unit", "proportions"),
    ),
    Pair(
        "quantity_with_units",
        {ANALYTICAL_REASONING: 2},
        ("unit",),
        ("quantity_question", "calculate", "convert"),
    ),
    Pair("proportional_quantity", {ANALYTICAL_REASONING: 2}, ("number",), ("proportions",)),
    Pair("chance_of", {ANALYTICAL_REASONING: 3}, ("chance",), ("quantity_question", "math_verb")),
    Pair("options", {ANALYTICAL_REASONING: 2, FACTUAL_LOOKUP: 1}, ("option_b",), ("option_c",)),
    Pair(
        "exam_notation",
        {ANALYTICAL_REASONING: 2},
        ("option_b",),
        ("latex", "notation", "unit", "chance", "logic"),
    ),
)
