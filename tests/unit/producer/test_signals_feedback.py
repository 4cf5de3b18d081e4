"""What users say about an answer: labelled remarks, requests said again, remarks in context."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from producer.rules.model import Mark
from producer.signal_rules import FEEDBACK_CUES, tool_output
from producer.signals import cues_in, detect
from producer.words import strip_marks
from tests.unit.producer.chats import REQUEST, assistant, user

# Written by hand for these tests, in ten languages, with tricky negatives; no data set is quoted.
FEEDBACK: Mapping[str, Sequence[str]] = json.loads(
    Path(__file__).with_name("labelled_feedback.json").read_text(encoding="utf-8")
)
REQUIRED_AGREEMENT = 0.95


def says(remark: str, answer: str = "Here it is.", request: str = REQUEST) -> set[str]:
    return set(detect([user(request), assistant(answer), user(remark)]))


@pytest.mark.parametrize("label", ["satisfaction", "misalignment", "disengagement", "none"])
def test_labelled_feedback_agrees(label: str) -> None:
    expected = set() if label == "none" else {label}
    accepted: list[set[str]] = [expected]
    if label == "disengagement":  # "I'm leaving, this doesn't help" is both
        accepted.append({label, "misalignment"})
    wrong = {text: says(text) for text in FEEDBACK[label] if says(text) not in accepted}
    assert len(FEEDBACK[label]) >= 150
    assert 1 - len(wrong) / len(FEEDBACK[label]) >= REQUIRED_AGREEMENT, wrong


def test_faint_praise_is_no_satisfaction() -> None:
    fooled = [text for text in FEEDBACK["no_satisfaction"] if "satisfaction" in says(text)]
    assert len(fooled) <= len(FEEDBACK["no_satisfaction"]) * (1 - REQUIRED_AGREEMENT), fooled


@pytest.mark.parametrize(
    ("request_before", "remark"),
    [
        (
            "How do I sort a list of dictionaries by a key in Python?",
            "Sort a list of dictionaries by key, in Python - how?",
        ),
        (
            "Explain how photosynthesis works in simple words",
            "Explain in simple words how photosynthesis works",
        ),
        ("Fix the failing login test", "fix the failing login test"),
        ("用Python怎么把列表倒序排列？", "怎么用Python把列表倒序排列"),
        ("Summarize this: " + "word " * 200, "Summarize this: " + "word " * 200),
    ],
)
def test_the_same_request_in_other_words_is_misalignment(request_before: str, remark: str) -> None:
    assert says(remark, request=request_before) == {"misalignment"}


@pytest.mark.parametrize(
    ("request_before", "remark"),
    [
        ("What is the capital of France?", "What is the capital of Spain?"),
        ("Write a function that reverses a string", "Write a function that sorts a string"),
        ("Convert 50 miles to kilometers", "Convert 70 miles to kilometers"),
        ("Write a function that sorts a list", "Write tests for the function that sorts a list"),
        ("Summarize chapter 1 of the book", "Summarize chapter 2 of the book"),
        ("Translate: " + "word " * 200, "Translate: " + "word " * 199 + "end"),
        ("continue", "continue"),
        ("用Python怎么排序列表？", "用Java怎么排序列表？"),
    ],
)
def test_a_similar_request_is_an_ordinary_follow_up(request_before: str, remark: str) -> None:
    assert says(remark, request=request_before) == set()


def test_no_corrects_unless_the_answer_had_asked() -> None:
    assert says("No, the other table.") == {"misalignment"}
    assert says("No, the other table.", answer="Done. Is this the table you mean?") == set()


def test_accepting_an_offered_transfer_is_not_giving_up() -> None:
    remark = "Yes, please connect me to a human agent."
    assert says(remark) == {"disengagement"}
    assert says(remark, answer="I can't do that. Shall I transfer you to an agent?") == set()


@pytest.mark.parametrize(
    "quotation", ["'{}'", '"{}"', "“{}”", "‘{}’", "«{}»", "「{}」", "'I said: don't. {}'"]
)
def test_quotations_are_not_said_to_the_assistant(quotation: str) -> None:
    for said in ("I give up, this is useless", "Thank you, that works", "No, that's wrong"):
        assert says(f"How would a pirate say {quotation.format(said)}?") == set()


def test_cues_explain_a_reading() -> None:
    assert "it_is_wrong" in cues_in("That is wrong.")
    assert cues_in("What about Spain?") == ()


@pytest.mark.parametrize(
    "cue",
    [cue for cue in (*FEEDBACK_CUES, *tool_output.MARKS) if isinstance(cue, Mark)],
    ids=lambda cue: cue.name,
)
def test_marks_repeat_no_half_characters(cue: Mark) -> None:
    """A character of several bytes, before "?" or inside "[...]", would mean one of its bytes."""
    for regex in cue.regexes:
        pattern = strip_marks(regex)
        assert not re.search(rb"[\x80-\xff][?*+{]", pattern), regex
        assert not re.search(rb"\[[^\]]*[\x80-\xff]", pattern), regex
        assert regex == regex.lower() or re.search(r"\\[SWDB]", regex), regex
