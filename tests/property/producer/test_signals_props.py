"""Whatever arrives, signals come in order and once; format and old messages do not matter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from hypothesis import given
from hypothesis import strategies as st

from producer.rules.model import Phrase
from producer.signal_rules import FEEDBACK_CUES
from producer.signal_rules.exchange import MAX_TURNS
from producer.signals import Signal, cues_in, detect
from producer.words import word_groups

Message: TypeAlias = dict[str, Any]


def _rule_words() -> list[str]:
    """Words that mean something to the rules: random text alone would hardly ever meet a cue."""
    lists = {
        element
        for cue in FEEDBACK_CUES
        if isinstance(cue, Phrase)
        for pattern in cue.patterns
        for element in pattern
        if isinstance(element, str)
    }
    return sorted(
        {word.decode() for words in lists for group in word_groups(words) for word in group}
    )


SAYINGS = st.sampled_from(
    ["Thanks!", "No, that's wrong.", "I give up.", "And in Java?", "Error: x", "exit code 1", ""]
)
MEANINGFUL = st.lists(
    st.tuples(st.sampled_from(_rule_words()), st.sampled_from([" ", ", ", ". ", "? ", "\n", " '"])),
    max_size=30,
).map(lambda pieces: "".join(word + separator for word, separator in pieces))
ANY_TEXT = st.text(st.characters(codec=None))  # lone surrogates too: JSON can carry them
TEXTS = st.one_of(SAYINGS, MEANINGFUL, ANY_TEXT)

KEYS = st.one_of(
    st.sampled_from(["role", "content", "type", "text", "tool_calls", "function", "arguments"]),
    st.sampled_from(["name", "input", "output", "is_error", "status", "error", "exit_code"]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["user", "assistant", "tool", "function_call", "text", "tool_use"]),
    st.sampled_from(["tool_result", "function_call_output", "error"]),
    TEXTS,
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
ROLES = st.sampled_from(["user", "assistant", "tool"])
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.one_of(ROLES, JSON), "content": st.one_of(TEXTS, JSON)},
        optional={"tool_calls": JSON, "type": JSON, "output": JSON},
    ),
    max_size=6,
)


class Turn(NamedTuple):
    """A turn in no format: what was answered and called, what came back, what the user said."""

    answer: str
    arguments: dict[str, str] | None
    output: str
    flagged: bool
    remark: str


TURNS = st.lists(
    st.builds(
        Turn,
        TEXTS,
        st.none() | st.dictionaries(st.sampled_from("ab"), st.sampled_from(["1", "2"]), max_size=2),
        TEXTS,
        st.booleans(),
        TEXTS,
    ),
    min_size=1,
    max_size=4,
)


def openai(turns: Sequence[Turn]) -> list[Message]:
    messages: list[Message] = [{"role": "user", "content": "Do it"}]
    for turn in turns:
        messages.append({"role": "assistant", "content": turn.answer})
        if turn.arguments is not None:
            function = {"name": "run", "arguments": turn.arguments}
            messages[-1]["tool_calls"] = [{"id": "1", "function": function}]
            messages.append({"role": "tool", "content": turn.output, "is_error": turn.flagged})
        messages.append({"role": "user", "content": turn.remark})
    return messages


def anthropic(turns: Sequence[Turn]) -> list[Message]:
    messages: list[Message] = [{"role": "user", "content": [{"type": "text", "text": "Do it"}]}]
    for turn in turns:
        said: Message = {"type": "text", "text": turn.answer}
        heard: Message = {"type": "text", "text": turn.remark}
        if turn.arguments is None:
            messages.append({"role": "assistant", "content": [said]})
            messages.append({"role": "user", "content": [heard]})
            continue
        call = {"type": "tool_use", "id": "1", "name": "run", "input": turn.arguments}
        result = {"type": "tool_result", "content": turn.output, "is_error": turn.flagged}
        messages.append({"role": "assistant", "content": [said, call]})
        messages.append({"role": "user", "content": [result, heard]})
    return messages


@given(st.one_of(JSON, MESSAGES), st.none() | st.integers())
def test_any_json_is_answered(messages: object, status_code: int | None) -> None:
    given_messages = cast(Sequence[Mapping[str, object]], messages)
    found = detect(given_messages, status_code)
    assert all(type(signal) is Signal for signal in found)
    assert found == tuple(signal for signal in Signal if signal in found)
    assert detect(given_messages, status_code) == found


@given(TURNS)
def test_both_formats_show_the_same(turns: Sequence[Turn]) -> None:
    assert detect(openai(turns)) == detect(anthropic(turns))


@given(TURNS, TURNS)
def test_what_is_far_back_does_not_matter(old: Sequence[Turn], turns: Sequence[Turn]) -> None:
    idle = [Turn(f"step {number}", None, "", False, "") for number in range(MAX_TURNS)]
    assert detect(openai([*old, *idle, *turns])) == detect(openai([*idle, *turns]))


@given(TURNS)
def test_a_json_text_and_its_value_are_the_same_arguments(turns: Sequence[Turn]) -> None:
    def written(message: Message) -> Message:
        calls = [
            {"function": {"name": "run", "arguments": json.dumps(call["function"]["arguments"])}}
            for call in message.get("tool_calls", ())
        ]
        return {**message, "tool_calls": calls}

    values = [Signal.LOOP in detect(openai(turns)[: end + 1]) for end in range(len(turns))]
    texts = [
        Signal.LOOP in detect([*map(written, openai(turns)[: end + 1])])
        for end in range(len(turns))
    ]
    assert values == texts


@given(MEANINGFUL)
def test_case_does_not_matter(remark: str) -> None:
    assert cues_in(remark.upper()) == cues_in(remark)


@given(TEXTS, TEXTS)
def test_the_user_can_cause_no_signal_of_tools(answer: str, remark: str) -> None:
    messages = [
        {"role": "user", "content": "Do it"},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": remark},
    ]
    by_user = {Signal.SATISFACTION, Signal.MISALIGNMENT, Signal.DISENGAGEMENT}
    assert set(detect(messages)) <= by_user
    assert detect(messages[:2]) == ()


@given(TURNS)
def test_without_a_remark_only_tools_and_the_assistant_speak(turns: Sequence[Turn]) -> None:
    silent = [turn._replace(remark="") for turn in turns]
    by_user = {Signal.SATISFACTION, Signal.MISALIGNMENT, Signal.DISENGAGEMENT}
    assert not by_user & set(detect(openai(silent)))


@given(TURNS)
def test_a_flagged_output_is_trouble_whatever_it_says(turns: Sequence[Turn]) -> None:
    last = turns[-1]._replace(arguments={}, flagged=True)
    assert {Signal.FAILURE, Signal.EXHAUSTION} & set(detect(openai([*turns[:-1], last])))
