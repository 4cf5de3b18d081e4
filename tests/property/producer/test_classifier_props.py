"""Whatever arrives, the classifier answers with one of the seven types, and the same one again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from producer.classifier import MAX_TEXT_CHARS, assess, classify, classify_text, trailing_user_text
from producer.rules import CUES
from producer.rules.model import Phrase
from producer.words import word_groups
from schemas.request_types import REQUEST_TYPES


def _rule_words() -> list[str]:
    """Words that mean something to the rules: random text alone would hardly ever meet a cue."""
    lists = {
        element
        for cue in CUES
        if isinstance(cue, Phrase)
        for pattern in cue.patterns
        for element in pattern
        if isinstance(element, str)
    }
    return sorted(
        {word.decode() for words in lists for group in word_groups(words) for word in group}
    )


WORDS = st.sampled_from(_rule_words())
SEPARATORS = st.sampled_from([" ", ", ", ". ", "? ", "\n", " ```\n", "; ", " 12 ", " $x^2$ "])
MEANINGFUL = st.lists(st.tuples(WORDS, SEPARATORS), max_size=40).map(
    lambda pieces: "".join(word + separator for word, separator in pieces)
)
ANY_TEXT = st.text(st.characters(codec=None))  # lone surrogates too: JSON can carry them
TEXTS = st.one_of(ANY_TEXT, MEANINGFUL, st.builds("{}{}".format, MEANINGFUL, ANY_TEXT))

KEYS = st.one_of(st.sampled_from(["role", "content", "type", "text"]), st.text(max_size=5))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["user", "assistant", "tool", "text", "input_text", "tool_result"]),
    TEXTS,
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
PARTS = st.fixed_dictionaries({"type": JSON, "text": JSON})
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.one_of(st.just("user"), JSON), "content": st.one_of(st.lists(PARTS), JSON)}
    ),
    max_size=4,
)


@given(TEXTS)
def test_any_text_has_one_of_the_types(text: str) -> None:
    kind = classify_text(text)
    assert kind in REQUEST_TYPES
    assert classify_text(text) == kind
    assert assess(text).request_type == kind
    assert classify([{"role": "user", "content": text}]) == kind


@given(st.one_of(JSON, MESSAGES))
def test_any_json_is_answered(messages: object) -> None:
    given = cast(Sequence[Mapping[str, object]], messages)
    assert classify(given) in REQUEST_TYPES
    assert len(trailing_user_text(given)) <= MAX_TEXT_CHARS


@given(MEANINGFUL)
def test_case_does_not_matter(text: str) -> None:
    assert classify_text(text.upper()) == classify_text(text.title()) == classify_text(text)


@given(TEXTS, ANY_TEXT, MEANINGFUL)
def test_what_follows_the_first_characters_does_not_matter(
    start: str, filler: str, rest: str
) -> None:
    head = (start + filler).ljust(MAX_TEXT_CHARS)[:MAX_TEXT_CHARS]
    assert classify_text(head + rest) == classify_text(head)


@given(st.sampled_from(["What is the capital of Peru?", "Write a Python function to sort a list"]))
def test_courtesies_change_nothing(text: str) -> None:
    kind = classify_text(text)
    for courtesy in ("Hi! ", "Hello, please ", "ok, so "):
        assert classify_text(courtesy + text[0].lower() + text[1:]) == kind
