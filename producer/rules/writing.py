"""Writing: producing or reworking prose, where the text itself is the deliverable.

The nearest object of the verb decides: an essay about functions is an essay. Forms named in
passing are only hints, because knowledge questions are about books and poems too.
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import OPENING, Gap, Maybe, Pair, any_of, made, mark, phrase
from schemas.request_types import WRITING

_FORM: Final = any_of(
    "e ?mails?|letters?|essays?|poems?|poetry|haikus?|sonnets?|limericks?|stor(y|ies)|novels?",
    "articles?|blog ?posts?|blog|posts?|speech(es)?|resumes?|cvs?|tweets?|captions?|slogans?",
    "taglines?|lyrics|copy|descriptions?|press releases?|songs?|rap|toasts?|bios?",
    "biograph(y|ies)|reviews?|newsletters?|reply|headlines?|titles?|dialogues?|monologues?",
    "screenplays?|reports?|memos?|announcements?|messages?|vows|paragraphs?|sentences?",
    "introductions?|conclusions?|summar(y|ies)|abstracts?|statements?|response|proposals?",
    "invitations?|eulog(y|ies)|obituar(y|ies)|notes?|cards?|advertisements?|scenes?|chapters?",
    "fairy tales?|jokes?|complaints?|apolog(y|ies)|outlines?|brochures?",
)
_STYLE: Final = any_of(
    "formal|informal|concise|friendl(y|ier)|professional|persuasive|casual|polite|engaging",
    "shorter|longer|catchy|clearer|eloquent|arrogant|punch(y|ier)|warmer|poetic|harsh|softer",
    "simpler|confident",
)

CUES: Final = (
    phrase("write_form", {WRITING: 5}, *made(_FORM)),
    phrase("answer_form", {WRITING: 4}, ("respond|reply", "to", Gap(3), _FORM)),
    phrase("write_opening", {WRITING: 2}, (OPENING, "write|draft|compose")),
    mark(
        "length",
        {WRITING: 2},
        r"\b\d+[ -]words?\b",
        r"\b(?:one|two|three|\d+)[ -](?:paragraphs?|pages?|stanzas?|bullet points?)\b",
    ),
    phrase(
        "rework",
        {WRITING: 3},
        "proofread|rewrite|rephrase|reword|paraphrase|copy ?edit|summari(s|z)e|shorten|translate",
        "edit|condense|tl ?dr",
    ),
    phrase(
        "rework_this",
        {WRITING: 2},
        "(proofread|rewrite|rephrase|reword|paraphrase|summari(s|z)e|translate|edit|polish)"
        " (this|it|the|my|these|that)",
    ),
    phrase("sound_like", {WRITING: 3}, "sounds? (more|less|like|too)|(this|it|that) sound"),
    phrase("into_form", {WRITING: 3}, ("into", Maybe("a|an"), Gap(1), _FORM)),
    phrase(
        "language_errors",
        {WRITING: 3},
        "grammar|spelling|typos?|punctuation|wording|(flow|tone) of",
    ),
    phrase(
        "other_language",
        {WRITING: 2},
        (
            "in|into|to",
            any_of(
                "english|french|spanish|german|italian|portuguese|japanese|chinese|mandarin",
                "korean|russian|arabic",
            ),
        ),
    ),
    phrase(
        "restyle",
        {WRITING: 3},
        ("make|sound|sounds", Maybe("it|this|that"), _STYLE),
        ("more|less|too", _STYLE),
    ),
    phrase("suggest", {}, "come up with|suggest|give (me|us)|brainstorm|think of|ideas for"),
    phrase("short_form", {}, "slogans?|taglines?|titles?|headlines?|captions?|catchy|names? for"),
    phrase(
        "form_opening",
        {WRITING: 4},
        (
            OPENING,
            Maybe("a|an|my|the"),
            Gap(1),
            _FORM,
            "about|for|to|announcing|on|from|describing",
        ),
    ),
    phrase(
        "creative_form",
        {WRITING: 2},
        "haikus?|sonnets?|limericks?|short stor(y|ies)|screenplays?|cover letters?|blog posts?",
        "eulogy|press releases?|love letters?|fairy tales?|wedding speech|fan ?fiction",
    ),
    phrase("form", {}, _FORM),
    phrase(
        "salutation",
        {WRITING: 2},
        "dear (sir|madam|mr|mrs|ms|dr|team|hiring)|(best|kind|warm) regards|yours sincerely",
    ),
)

PAIRS: Final = (
    Pair("form_with_length", {WRITING: 1}, ("form",), ("length",)),
    Pair("invent_lines", {WRITING: 3}, ("suggest",), ("short_form",)),
)
