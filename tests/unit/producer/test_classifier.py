"""The classifier on labelled prompts and on messages, and the consistency of its rules."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from producer.classifier import (
    MAX_TEXT_CHARS,
    RequestClassifier,
    assess,
    classify,
    classify_text,
    trailing_user_text,
)
from producer.cues import CueFinder
from producer.rules import CUES, PAIRS
from producer.rules.model import Mark, Pair, phrase
from producer.words import strip_marks, word_groups
from schemas.request_types import GENERAL, REQUEST_TYPES

# Written by hand for these tests, in ten languages, with tricky negatives; no data set is quoted.
LABELLED: Mapping[str, Sequence[str]] = json.loads(
    Path(__file__).with_name("labelled_prompts.json").read_text(encoding="utf-8")
)
REQUIRED_AGREEMENT = 0.9


def test_there_are_seven_types_and_each_has_labelled_prompts() -> None:
    assert REQUEST_TYPES == (
        "code_generation",
        "code_understanding",
        "technical_design",
        "analytical_reasoning",
        "writing",
        "factual_lookup",
        "general",
    )
    assert LABELLED.keys() == set(REQUEST_TYPES)
    assert min(map(len, LABELLED.values())) >= 40


def test_labelled_prompts_agree() -> None:
    confusion: Counter[tuple[str, str]] = Counter()
    wrong: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for expected, prompts in LABELLED.items():
        for prompt in prompts:
            found = classify_text(prompt)
            confusion[expected, found] += 1
            if found != expected:
                wrong[expected, found].append(prompt)
    agreement = sum(confusion[kind, kind] for kind in REQUEST_TYPES) / confusion.total()
    assert agreement >= REQUIRED_AGREEMENT, f"{agreement:.1%}\n{_table(confusion)}\n{dict(wrong)}"


@pytest.mark.parametrize("kind", REQUEST_TYPES)
def test_no_type_is_left_behind(kind: str) -> None:
    confusion = Counter((kind, classify_text(prompt)) for prompt in LABELLED[kind])
    recall = confusion[kind, kind] / confusion.total()
    assert recall >= REQUIRED_AGREEMENT, f"{recall:.1%}\n{_table(confusion)}"


def _table(confusion: Mapping[tuple[str, str], int]) -> str:
    """Rows: labelled; columns: found."""
    lines = [" " * 21 + " ".join(f"{kind[:9]:>9}" for kind in REQUEST_TYPES)]
    for expected in REQUEST_TYPES:
        counts = " ".join(f"{confusion.get((expected, found), 0):9}" for found in REQUEST_TYPES)
        lines.append(f"{expected:20} {counts}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Write an essay about the function of the heart", "writing"),
        ("Write a function that sends an email", "code_generation"),
        ("write a script for a school play", "writing"),
        ("Please review our code of conduct", GENERAL),
        ("Create a class for my yoga students", GENERAL),
        ("What is the function of the liver?", "factual_lookup"),
        ("Design a logo for my bakery", GENERAL),
        ("Should I use the stairs or the lift?", GENERAL),
        ("I assume that you are tired. If so, then sleep.", GENERAL),
        ("They fled from the terror in the night", GENERAL),
        ("Das ist eine Klasse Idee!", GENERAL),
        ("Le programme de la fête est chargé", GENERAL),
        ("La clase de historia fue larga", GENERAL),
    ],
)
def test_words_of_daily_life_are_not_misread(text: str, kind: str) -> None:
    assert classify_text(text) == kind, assess(text)


def test_code_in_a_text_with_an_ask_for_new_code_is_generation() -> None:
    code = "```python\ndef area(r):\n    return 3.14 * r * r\n```"
    assert classify_text(f"Why does this function return the wrong area?\n{code}") == (
        "code_understanding"
    )
    assert classify_text(f"Write unit tests for this function\n{code}") == "code_generation"


def test_lettered_options_are_reasoning_unless_a_fact_is_asked() -> None:
    options = "\nA. {}\nB. {}\nC. {}"
    fact = "Who painted the Mona Lisa?" + options.format("Leonardo", "Raphael", "Titian")
    task = "A pump fills 3 tanks in 8 hours. How many tanks in 20 hours?"
    assert classify_text(fact) == "factual_lookup"
    assert classify_text(task + options.format("6", "7.5", "8")) == "analytical_reasoning"


def test_assessment_explains_the_decision() -> None:
    assessment = assess("Write a Python function that merges two sorted lists")
    assert assessment.request_type == "code_generation"
    assert assessment.evidence["code_generation"] == max(assessment.evidence.values())
    assert {"make_software", "language"} <= set(assessment.cues)


CODE = "Write a Python function that merges two sorted lists"


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": CODE}],
        [{"role": "user", "content": [{"type": "text", "text": CODE}]}],
        [{"role": "user", "content": [{"type": "input_text", "text": CODE}]}],
        [{"role": "user", "content": [{"text": CODE}]}],
        [{"role": "user", "content": [CODE]}],
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "data:,"}},
                    {"type": "text", "text": CODE},
                ],
            }
        ],
        [
            {"role": "system", "content": "What is the capital of France?"},
            {"role": "user", "content": "What is the capital of Spain?"},
            {"role": "assistant", "content": "Madrid"},
            {"role": "user", "content": CODE},
        ],
        [
            {"role": "user", "content": CODE},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
            {"role": "tool", "tool_call_id": "1", "content": "What is the capital of France?"},
        ],
        [
            {"role": "user", "content": CODE},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1"}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "Who wrote Faust?"}]},
        ],
    ],
)
def test_the_last_user_text_decides(messages: Sequence[Mapping[str, object]]) -> None:
    assert trailing_user_text(messages) == CODE
    assert classify(messages) == "code_generation"


@pytest.mark.parametrize(
    "messages",
    [
        [],
        None,
        "Write a Python function",
        {"role": "user", "content": CODE},
        [None, 7, "text"],
        [{"role": "assistant", "content": CODE}],
        [{"content": CODE}],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": 7}],
        [{"role": "user", "content": []}],
        [{"role": "user", "content": [{"type": ["text"], "text": CODE}]}],
        [{"role": "user", "content": [{"type": "text", "text": {"value": CODE}}]}],
        # What the user sent last has no text: an older request doesn't speak for a picture.
        [{"role": "user", "content": CODE}, {"role": "user", "content": [{"type": "image"}]}],
    ],
)
def test_malformed_or_textless_messages_are_general(
    messages: Sequence[Mapping[str, object]],
) -> None:
    assert classify(messages) == GENERAL


def test_parts_are_one_text_of_bounded_length() -> None:
    part = {"type": "text", "text": "x" * 1_500}
    text = trailing_user_text([{"role": "user", "content": [part, part, part]}])
    assert text == "x" * 1_500 + "\n" + "x" * (MAX_TEXT_CHARS - 1_501)


def test_the_default_is_a_request_classifier() -> None:
    classifier: RequestClassifier = classify
    assert classifier([{"role": "user", "content": "hi"}]) == GENERAL


# --- the rules themselves -----------------------------------------------------------------------


def test_a_cue_without_weights_takes_part_in_a_pair() -> None:
    paired = {name for pair in PAIRS for name in (*pair.one_of, *pair.with_any)}
    assert {cue.name for cue in CUES if not cue.weights} <= paired


@pytest.mark.parametrize(
    "cue", [cue for cue in CUES if isinstance(cue, Mark)], ids=lambda c: c.name
)
def test_marks_repeat_no_half_characters(cue: Mark) -> None:
    """A character of several bytes, before "?" or inside "[...]", would mean one of its bytes."""
    for regex in cue.regexes:
        pattern = strip_marks(regex)
        assert not re.search(rb"[\x80-\xff][?*+{]", pattern), regex
        assert not re.search(rb"\[[^\]]*[\x80-\xff]", pattern), regex
        assert regex == regex.lower() or re.search(r"\\[SWDB]", regex), regex


def test_word_lists_expand_alternatives_groups_and_options() -> None:
    assert set(word_groups("unit tests?|stor(y|ies)|ci/cd|Größe".lower())) == {
        (b"unit", b"test"),
        (b"unit", b"tests"),
        (b"story",),
        (b"stories",),
        (b"ci", b"cd"),
        (b"gro\xc3\x9fe",),
    }


@pytest.mark.parametrize("words", ["a(b", "a)b", "a||b", ""])
def test_broken_word_lists_are_refused(words: str) -> None:
    with pytest.raises(ValueError, match="word list"):
        word_groups(words)


@pytest.mark.parametrize(
    ("cues", "pairs", "message"),
    [
        ([phrase("a", {}, "x"), phrase("a", {}, "y")], [], "same name"),
        ([phrase("a", {"poetry": 1}, "x")], [], "unknown types"),
        ([phrase("a", {}, "x")], [Pair("p", {}, ("a",), ("b",))], "unknown cues"),
        ([Mark("a", {}, ("(",))], [], "not RE2 syntax"),
    ],
)
def test_broken_rules_are_refused(
    cues: Sequence[Mark], pairs: Sequence[Pair], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        CueFinder(cues, pairs, REQUEST_TYPES)
