"""Which turn is judged, from which messages, and how tools report failure in every format."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from producer.signal_rules.exchange import MAX_MESSAGES
from producer.signals import FAVOURABLE, Signal, detect
from tests.unit.producer.chats import REQUEST, Message, assistant, steps, tool, user

# Written by hand for these tests; no data set is quoted.
OUTPUTS: Mapping[str, Sequence[str]] = json.loads(
    Path(__file__).with_name("labelled_outputs.json").read_text(encoding="utf-8")
)
REQUIRED_AGREEMENT = 0.95


def test_only_satisfaction_speaks_for_an_answer() -> None:
    assert {Signal.SATISFACTION} == FAVOURABLE


# --- what tools say -----------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["failure", "exhaustion", "none"])
def test_labelled_outputs_agree(label: str) -> None:
    expected = set() if label == "none" else {label}
    wrong = {
        output: found
        for output in OUTPUTS[label]
        if (found := set(detect(steps(("run", "{}", output))))) != expected
    }
    assert 1 - len(wrong) / len(OUTPUTS[label]) >= REQUIRED_AGREEMENT, wrong


ERROR = "Error: no such user"
CALL = {"type": "tool_use", "id": "1", "name": "find", "input": {"id": 7}}


@pytest.mark.parametrize(
    "turn",
    [
        [assistant(None, ("find", "{}")), tool(ERROR)],
        [assistant(None, ("find", "{}")), tool([{"type": "text", "text": ERROR}])],
        [assistant(None, ("find", "{}")), tool("oops", is_error=True)],
        [assistant(None, ("find", "{}")), tool("oops", isError=True)],
        [assistant(None, ("find", "{}")), tool("", status="error")],
        [assistant(None, ("find", "{}")), tool("fine"), tool(ERROR)],
        [assistant(None), {"role": "function", "name": "find", "content": ERROR}],
        [
            {"role": "assistant", "content": [CALL]},
            user([{"type": "tool_result", "tool_use_id": "1", "content": "?", "is_error": True}]),
        ],
        [
            {"role": "assistant", "content": [CALL]},
            user(
                [
                    {"type": "tool_result", "content": [{"type": "text", "text": ERROR}]},
                    {"type": "text", "text": "go on"},
                ]
            ),
        ],
        [
            {"type": "function_call", "call_id": "1", "name": "find", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": ERROR},
        ],
    ],
)
def test_failure_is_seen_in_every_format(turn: list[Message]) -> None:
    assert detect([user(REQUEST), *turn]) == (Signal.FAILURE,)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ('{"error": "no such user"}', {"failure"}),
        ('{"error": {"message": "?"}, "data": null}', {"failure"}),
        ('{"error": null, "errors": [], "data": "Error: x"}', set()),
        ('{"success": false}', {"failure"}),
        ('{"ok": true, "note": "exit code 1"}', set()),
        ('{"exit_code": 3, "stdout": ""}', {"failure"}),
        ('{"exit_code": 0, "stdout": "1 failed"}', set()),
        ('{"statusCode": 404}', {"failure"}),
        ('{"status": "error"}', {"failure"}),
        ('{"status": "failed", "job": 7}', set()),  # the job, not the look-up
        ('{"result": {"error": "of the data"}}', set()),
        ('{"isError": true}', {"failure"}),
        ('{"status": 429}', {"exhaustion"}),
        ('{"error": "rate limit exceeded"}', {"exhaustion"}),
        ('{"limit": "rate limit: 60 a minute"}', set()),
        ('{"error": "x", "log": "' + "line " * 500 + '"}', {"failure"}),
    ],
)
def test_payloads_speak_by_their_outermost_names(payload: str, expected: set[str]) -> None:
    assert set(detect(steps(("call", "{}", payload)))) == expected


def test_a_page_about_limits_is_no_limit() -> None:
    page = "Rate limits are described here. " + "Each plan has one. " * 40
    assert detect(steps(("search", "{}", page))) == ()
    assert detect(steps(("search", "{}", "Rate limit reached"))) == (Signal.EXHAUSTION,)


def test_errors_far_inside_a_long_output_are_data() -> None:
    log = "started\n" * 200
    inside = f"{log}Traceback (most recent call last)\nKeyError: 1\n{log}"
    assert detect(steps(("read", "{}", inside))) == ()
    assert detect(steps(("read", "{}", f"{log}KeyError: 1"))) == (Signal.FAILURE,)


def test_silence_is_no_failure() -> None:
    assert detect(steps(("mkdir", '{"path": "a"}', ""))) == ()


def test_the_status_of_the_previous_answer_counts() -> None:
    messages = [user(REQUEST), assistant(), user("Go on")]
    assert detect(messages, status_code=429) == (Signal.EXHAUSTION,)
    assert detect(messages, status_code=200) == detect(messages, status_code=500) == ()


# --- which turn ---------------------------------------------------------------------------------


def test_only_the_previous_turn_is_judged() -> None:
    messages = [
        user(REQUEST),
        assistant(None, ("run", "{}")),
        tool(ERROR),
        assistant(),
        user("That's wrong."),
        assistant("Now it is sorted."),
        user("And in Java?"),
    ]
    assert detect(messages) == ()
    assert detect(messages[:5]) == (Signal.MISALIGNMENT,)
    assert detect(messages[:3]) == (Signal.FAILURE,)


@pytest.mark.parametrize(
    "messages",
    [[], [user("Thanks!")], [{"role": "system", "content": "Error: x"}, user("Thanks!")]],
)
def test_nothing_is_said_about_an_answer_that_never_was(messages: list[Message]) -> None:
    assert detect(messages) == ()


def test_an_answer_without_reaction_is_judged_by_itself() -> None:
    said = assistant("I have sorted the list by name.")
    assert detect([user(REQUEST), said, user("Hm."), said]) == (Signal.STAGNATION,)


def test_system_messages_between_change_nothing() -> None:
    reminder = {"role": "system", "content": "Error: be brief. Thanks!"}
    messages = [user(REQUEST), assistant(), reminder, user("Perfect, thank you!"), reminder]
    assert detect(messages) == (Signal.SATISFACTION,)


def test_signals_come_once_and_in_order() -> None:
    messages = steps(("a", "{}", ERROR), ("a", "{}", ERROR))
    messages += [tool("Error: 429 Too Many Requests"), user("Forget it, I give up.")]
    found = detect(messages)
    assert found == tuple(sorted(set(found), key=list(Signal).index))
    assert {Signal.FAILURE, Signal.LOOP, Signal.EXHAUSTION, Signal.DISENGAGEMENT} <= set(found)


class TailOnly(Sequence[Message]):
    """A session of a million messages of which only the last can be looked at."""

    def __init__(self, tail: Sequence[Message]) -> None:
        self.tail = tail

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: Any) -> Any:
        position = index - len(self) + len(self.tail)
        if position < 0:
            raise AssertionError(f"message {index} is beyond the tail")
        return self.tail[position]


def test_a_long_session_is_not_read_to_its_beginning() -> None:
    tail = [assistant(), user("Go on")] * (MAX_MESSAGES // 2 - 1) + [assistant(), user("Thanks!")]
    assert detect(TailOnly(tail)) == (Signal.SATISFACTION,)


def test_a_long_turn_is_not_read_to_its_beginning() -> None:
    tail = [assistant(), *[tool("fine")] * (MAX_MESSAGES - 2), tool(ERROR)]
    assert detect(TailOnly(tail)) == (Signal.FAILURE,)


@pytest.mark.parametrize(
    "messages",
    [
        None,
        "Thanks!",
        7,
        {"role": "assistant"},
        [None, 7, "text", []],
        [{"role": ["assistant"]}, {"role": {"user": 1}, "content": "x"}],
        [{"role": "assistant", "content": 7, "tool_calls": "x"}, {"role": "tool", "content": 7}],
        [{"role": "assistant", "tool_calls": [None, {}, {"function": None}, {"function": {}}]}],
        [assistant(), tool("{" * 5_000), tool("[" * 5_000), tool('{"code": {}, "error": [')],
        [assistant(), user([None, {"type": ["text"], "text": "x"}, {"text": {"value": "x"}}])],
        [assistant(), user([{"type": "tool_result", "content": {"a": 1}}])],
    ],
)
def test_malformed_messages_show_nothing(messages: Any) -> None:
    assert set(detect(messages)) <= {Signal.FAILURE}
