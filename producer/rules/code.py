"""Code: asking for it (code_generation) and asking about it (code_understanding).

The words of programming are also words of daily life (class, script, function, method, code), so
they count for code only as the object of a making verb, when something points at them ("this
function"), or beside code and names of languages. Code in the text says "about code"; a verb that
asks for new code outweighs it.
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Gap, Maybe, Pair, any_of, made, mark, phrase
from schemas.request_types import (
    ANALYTICAL_REASONING,
    CODE_GENERATION,
    CODE_UNDERSTANDING,
    FACTUAL_LOOKUP,
    TECHNICAL_DESIGN,
    WRITING,
)

# Things that exist only in software, whatever stands around them.
_SOFTWARE: Final = any_of(
    "code|code snippets?|functions?|subroutines?|apis?|endpoints?|regex(p|es)?",
    "regular expressions?|query|queries|unit tests?|test cases?|test suite|algorithms?|parsers?",
    "cli|dockerfile|makefile|snippets?|one liners?|macros?|plugins?|scraper|crawler|web ?app",
    "web ?page|website|html page|structs?|iterators?|stored procedures?|middleware|webhooks?",
    "linked list|binary tree|cron ?job|compiler|helm chart|cache",
    "(chat|discord|telegram|slack) bot|chatbot|data ?class|enum|cron expression|github actions?",
    "todo app",
    "(terraform|nginx|kubernetes|webpack|yaml|json|compose) (module|config|manifest|file)",
    "config(uration)? file|(chrome|browser) extension|login page",
)

# Things that exist elsewhere too.
_AMBIGUOUS: Final = any_of(
    "class|classes|scripts?|methods?|programs?|apps?|applications?|components?|modules?",
    "interfaces?|page|packages?|library|libraries|server|client|game|commands?|loops?|tests?",
    "hooks?|wrappers?|decorators?|service|tool|table|form|button|playbook|types",
)

_LANGUAGE: Final = any_of(
    "python3?|javascript|typescript|java|kotlin|golang|php|perl|haskell|scala|bash|zsh",
    "powershell|sql|c++|c#|f#|html5?|css|matlab|pandas|numpy|react(js)?|useeffect|vue(.js)?",
    "django|flask|fastapi|node(.?js)?|js|ts|git|awk|sed|ansible|next.js|pytorch|tensorflow",
    "spring boot|elixir|erlang|fortran|cobol|lua|clojure|ocaml|vba|jquery|tailwind|jest|pytest",
    "solidity|ruby on rails|objective c|rustc|cargo|dockerfile|kubectl",
)
# Names that are also words or letters need "in", "using" or "to" before them.
_SHORT_LANGUAGE: Final = "c|r|go|rust|ruby|swift|dart|julia|assembly|latex|excel|vim"

_THIS: Final = "this|the|these|that|those|my|our|your|following|above|below|his|her|their|a|an"
_CODE_NOUN: Final = any_of(
    "code|codebase|code snippet|snippet|regex(p)?|regular expression|stack ?trace|traceback|sql",
    "query|pull request|merge request|pr|diff|commit|patch|subroutine|dockerfile|makefile",
)
_POINTED_NOUN: Final = any_of(
    "functions?|scripts?|methods?|class|loop|program|line|algorithm|macro|component|module|hook|query"
)

CUES: Final = (
    # --- asking for code ------------------------------------------------------------------------
    phrase("make_software", {CODE_GENERATION: 5}, *made(_SOFTWARE)),
    phrase("make_ambiguous", {}, *made(_AMBIGUOUS)),
    phrase("coding_verb", {}, "write|implement|code|program|refactor|override|subclass"),
    phrase(
        # What follows its name tells a program from a class of students: it takes, returns ...
        "program_behaviour",
        {},
        (
            "function|class|script|method|program|app|tool|command|code",
            Maybe("that|which|to|and|should|must"),
            any_of(
                "takes?|returns?|returning|prints?|parses?|computes?|sorts?|reads?|reverses?",
                "counts?|converts?|downloads?|renames?|deletes?|removes?|validates?|fetch(es)?",
                "calculates?|finds?|checks?|accepts?|implements?|extends?|inherits?|sends?",
                "monitors?|logs?|lists?|called|named",
            ),
        ),
    ),
    phrase("how_to", {}, (OPENING, "how (do|can|could|would|should|to)")),
    phrase(
        "in_short_language",
        {},
        ("in|using|to|into", Maybe("my|a|the|this|plain"), _SHORT_LANGUAGE),
    ),
    phrase("using_language", {CODE_GENERATION: 1}, ("in|using|with", _LANGUAGE)),
    phrase("language", {CODE_GENERATION: 1, CODE_UNDERSTANDING: 1}, _LANGUAGE),
    phrase("artefact", {}, _SOFTWARE, _AMBIGUOUS),
    phrase(
        "change_opening",
        {},
        (
            OPENING,
            any_of(
                "add|extend|modify|refactor|change|replace|rewrite|port|convert|optimi(s|z)e",
                "complete|finish|implement|migrate|write|create|generate",
            ),
        ),
    ),
    phrase(
        "shell_command",
        {CODE_GENERATION: 3},
        "(bash|shell|git|linux|unix|terminal|docker|kubectl|sed|awk|curl) commands?|one liner",
    ),
    # --- code in the text -----------------------------------------------------------------------
    mark("fence", {CODE_UNDERSTANDING: 2}, r"```"),
    mark(
        "code_line",
        {CODE_UNDERSTANDING: 2, ANALYTICAL_REASONING: -1, TECHNICAL_DESIGN: -1},
        r"\b(?:def|func|fn|function) \w*\(",
        r"(?m:^\s*class \w+[:({])",
        r"#include\s*[<\"]",
        r"(?m:^\s*(?:import \w+(?:\.\w+)*;?|from [\w.]+ import \w+.*)$)",
        r"\bpublic (?:static|final|class|void|int)\b",
        r"\b(?:const|let|var)\s+\w+\s*=[^=]",
        r"=>\s*[{(\w]",
        r"[)\]}\"'0-9];\s*\n|\{\s*\n|\)\s*\{|(?m:^\s*\}\s*;?$)",
        r"</\w+>",
        r"\b(?:console\.log|print(?:f|ln)?)\(|\bself\.\w",
        r"\breturn [\w.]+;|\w\+\+;",
        r"\bfor \w+ in (?:range|enumerate|\w+:)|\bwhile ?\(",
        r"\bselect \* from\b|\b(?:group|order) by\b|\b(?:inner|left|right) join\b",
        r"\w\.\w+\(",
        r"\(\?[:=!<]|\[a-z\]|\[0-9\]|\\d[{+*]",
    ),
    mark(
        "stack_trace",
        {CODE_UNDERSTANDING: 4},
        r"traceback \(most recent call",
        r"(?m:^\s+at [\w.$<>]+ ?\()",
        r"\", line \d",
        r"\b(?:[a-z]{3,}|io|os)(?:error|exception)\b",
        r"segmentation fault|core dumped|\bpanic:|npm err!|\berror\[e\d|\bundefined reference to",
        r"\bexit(?:s|ed)? (?:with )?(?:code|status) \d|\bis not (?:a function|defined)\b",
        r"\bsyntax error\b|\bnull ?pointer",
    ),
    mark("diff", {CODE_UNDERSTANDING: 4}, r"(?m:^diff --git |^@@ -\d|^\+\+\+ )"),
    # --- asking about code ----------------------------------------------------------------------
    phrase(
        "explain_verb",
        {},
        "explain|describe|understand|walk (me|us) through|what (does|do|is|are|will|would|s)",
        "what s happening|how (does|do|is)|why|where (in|is|are|does)|is there|does|comment on",
        "difference between",
    ),
    phrase(
        "this_code",
        {},
        (_THIS, _CODE_NOUN),
        (_THIS, Maybe(_LANGUAGE), _CODE_NOUN),
        (_CODE_NOUN, "below|above"),
    ),
    phrase(
        "this_function",
        {},
        ("this|these|that|my|our|the following|the above", Maybe(_LANGUAGE), _POINTED_NOUN),
    ),
    phrase(
        "debug_verb",
        {},
        "debug|fix|correct|repair|troubleshoot|wrong (with|in)",
        "(find|spot|locate) (the|a|my|this) (bug|error)",
    ),
    phrase(
        "bug",
        {CODE_UNDERSTANDING: 1},
        "bugs?|debug|compile(r|s)?",
        "(build|tests?|pipeline|compilation) (fails?|failed|is failing)",
    ),
    phrase(
        "system_error",
        {CODE_UNDERSTANDING: 3},
        "segfaults?|memory leak|race condition|deadlock|permission denied|connection refused",
        "(cannot|can t) find module|no such file|command not found|out of memory|stack overflow",
    ),
    phrase("what_does", {}, "what (does|do|will)"),
    phrase("error_word", {}, "errors?|exceptions?|crash(es|ing|ed)?|warnings?|fails?|failing"),
    phrase("why", {}, "why|any idea"),
    phrase(
        "getting_error",
        {CODE_UNDERSTANDING: 3},
        (
            "get|getting|gives?|throws?|throwing|raises?|fails? with|see|seeing",
            Maybe("me|us"),
            Maybe("a|an|the|this|some"),
            Gap(1),
            "errors?|exceptions?|crash|warnings?|segfaults?|stack ?trace",
        ),
    ),
    phrase("review_verb", {}, "review|critique|check|audit|improve|look at|feedback on"),
    phrase(
        "program_output",
        {},
        "(output|result|return value|time complexity|space complexity|big o) of|print|output",
        "(executing|running|evaluating|tracing) (the|this|that|provided|following)",
    ),
    phrase(
        "codebase",
        {CODE_UNDERSTANDING: 2},
        "codebase|source code|repo(sitory)?|pull request|stack ?trace",
    ),
    phrase(
        "explain_ask",
        {},
        (OPENING, "explain|describe|clarify|how (does|do|is|are)|why"),
        "explain|difference between",
    ),
    phrase(
        "concept",
        {CODE_UNDERSTANDING: 1},
        "borrow checker|garbage collect(or|ion)|closures?|pointers?|async|await|coroutines?",
        "callbacks?|mutex|decorators?|generics|goroutines?|thread safe|recursion|polymorphism",
        "dependency injection|event loop|type inference|hash ?maps?|stack overflow|data race",
        "namespace|undefined behaviou?r|unit testing",
    ),
    phrase("code_noun", {}, _CODE_NOUN, _POINTED_NOUN),
    phrase("certain_code_noun", {}, _CODE_NOUN),
    # --- looks like code, is not ----------------------------------------------------------------
    phrase(
        "other_codes",
        {CODE_GENERATION: -5, CODE_UNDERSTANDING: -5},
        "codes? of (conduct|ethics|laws?|honou?r|silence|practice)",
        any_of(
            "(zip|postal|area|dress|promo|discount|coupon|qr|bar|building|morse|penal|tax|civil|criminal"
            "|country|access|gate|genetic) codes?|zipcodes?",
        ),
    ),
    phrase("script_for", {}, "scripts? for (a|an|the|my|our)"),
    phrase(
        "stage",
        {},
        "film|movie|scene|podcast|video|sketch|comedy|tv show|commercial|episode|theat(er|re)",
        "sitcom|school play|stage play|(youtube|video|podcast|movie|film|play|radio|tv) scripts?",
        "screenplay",
    ),
)

_ANY_LANGUAGE: Final = ("language", "in_short_language", "language_marks")

PAIRS: Final = (
    Pair(
        "ambiguous_made_of_code",
        {CODE_GENERATION: 4},
        ("make_ambiguous",),
        ("language", "in_short_language", "program_behaviour", "fence", "code_line"),
    ),
    Pair(
        # What the text opens with is the deliverable, whatever the program is to compute.
        "opens_with_making",
        {CODE_GENERATION: 3},
        ("change_opening",),
        ("make_software", "program_behaviour"),
    ),
    Pair("coded_ambiguous", {CODE_GENERATION: 3}, ("make_ambiguous",), ("coding_verb",)),
    Pair(
        "software_in_language",
        {CODE_GENERATION: 2},
        ("make_software",),
        ("language", "in_short_language"),
    ),
    Pair(
        "artefact_in_language",
        {CODE_GENERATION: 1},
        _ANY_LANGUAGE,
        ("artefact", "code_words", "code_marks"),
    ),
    Pair(
        "change_code",
        {CODE_GENERATION: 4},
        ("change_opening",),
        ("fence", "code_line", "this_code"),
    ),
    Pair(
        "how_to_in_language", {CODE_GENERATION: 3}, ("how_to",), ("language", "in_short_language")
    ),
    Pair(
        "script_for_stage",
        {CODE_GENERATION: -3, WRITING: 5},
        ("make_ambiguous", "script_for"),
        ("stage",),
    ),
    Pair(
        "explain_this", {CODE_UNDERSTANDING: 4}, ("explain_verb",), ("this_code", "this_function")
    ),
    Pair("review_this", {CODE_UNDERSTANDING: 4}, ("review_verb",), ("this_code", "diff")),
    Pair(
        "debug_code",
        {CODE_UNDERSTANDING: 4},
        ("debug_verb",),
        ("bug", "system_error", "this_code", "this_function", "code_line", "fence", "stack_trace"),
    ),
    Pair(
        "why_code",
        {CODE_UNDERSTANDING: 4},
        ("why",),
        ("code_line", "fence", "stack_trace", "this_code"),
    ),
    Pair(
        "explain_about_language",
        {CODE_UNDERSTANDING: 3, FACTUAL_LOOKUP: -1},
        ("explain_ask", "what_does"),
        ("language", "code_line", "fence", "stack_trace", "this_code", "concept"),
    ),
    Pair(
        "error_in_code",
        {CODE_UNDERSTANDING: 2},
        ("error_word",),
        ("language", "code_line", "fence", "certain_code_noun"),
    ),
    Pair(
        "output_of_code",
        {CODE_UNDERSTANDING: 2},
        ("program_output",),
        ("language", "code_line", "fence", "code_noun"),
    ),
)
