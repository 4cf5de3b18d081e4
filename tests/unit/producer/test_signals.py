"""The signals on labelled feedback and tool outputs, and on conversations of every format."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from producer.rules.model import Mark
from producer.signal_rules import FEEDBACK_CUES, tool_output
from producer.signal_rules.exchange import MAX_MESSAGES, MAX_TURNS
from producer.signals import FAVOURABLE, Signal, cues_in, detect
from producer.words import strip_marks

Message: TypeAlias = dict[str, Any]

# Written by hand for these tests, in ten languages, with tricky negatives; no data set is quoted.
HERE = Path(__file__)
FEEDBACK: Mapping[str, Sequence[str]] = json.loads(
    HERE.with_name("labelled_feedback.json").read_text(encoding="utf-8")
)
OUTPUTS: Mapping[str, Sequence[str]] = json.loads(
    HERE.with_name("labelled_outputs.json").read_text(encoding="utf-8")
)
REQUIRED_AGREEMENT = 0.95

REQUEST = "Write a Python function that merges two sorted lists"


def user(text: object) -> Message:
    return {"role": "user", "content": text}


def assistant(text: str | None = "Here it is.", *calls: tuple[str, str]) -> Message:
    tool_calls = [
        {"id": str(number), "type": "function", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(calls)
    ]
    return {"role": "assistant", "content": text, "tool_calls": tool_calls}


def tool(output: object, **extra: object) -> Message:
    return {"role": "tool", "tool_call_id": "0", "content": output, **extra}


def steps(*made: tuple[str, str, str]) -> list[Message]:
    """A tool loop: (tool, arguments, output) a turn."""
    loop = [(assistant(None, (name, arguments)), tool(output)) for name, arguments, output in made]
    return [user(REQUEST), *(message for pair in loop for message in pair)]


def says(remark: str, answer: str = "Here it is.", request: str = REQUEST) -> set[str]:
    return set(detect([user(request), assistant(answer), user(remark)]))


# --- what users say -----------------------------------------------------------------------------


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


# --- what was tried before ----------------------------------------------------------------------


def test_the_same_call_with_the_same_output_is_a_loop() -> None:
    found = detect(steps(("ls", '{"path": "a"}', "x.txt"), ("ls", '{"path": "a"}', "x.txt")))
    assert found == (Signal.LOOP, Signal.NO_PROGRESS)


def test_the_same_call_with_other_output_is_waiting_or_testing() -> None:
    poll = ("job_status", '{"job": 7}')
    assert detect(steps((*poll, "running, 10 %"), (*poll, "running, 60 %"))) == ()


def test_the_same_call_failing_in_another_line_is_a_loop() -> None:
    call = ("python", '{"code": "x"}')
    found = detect(steps((*call, "In [1]\nNameError: no x"), (*call, "In [2]\nNameError: no x")))
    assert found == (Signal.FAILURE, Signal.LOOP)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"path":"a",  "depth":2}', Signal.LOOP),
        ('{"depth": 2, "path": "a"}', Signal.LOOP),
        ('{"path": "A", "depth": 2}', Signal.RETRY),
        ('{"path": "a", "depth": 3, "all": true}', None),
    ],
)
def test_calls_are_compared_by_value(arguments: str, expected: Signal | None) -> None:
    found = detect(steps(("ls", '{"path": "a", "depth": 2}', ""), ("ls", arguments, "")))
    assert found == ((expected,) if expected else ())


def test_another_tool_is_another_call() -> None:
    assert detect(steps(("ls", '{"path": "a"}', ""), ("rm", '{"path": "a"}', ""))) == ()


def test_nested_arguments_of_anthropic_are_compared_by_value() -> None:
    def turn(arguments: object) -> list[Message]:
        part = {"type": "tool_use", "id": "1", "name": "find", "input": arguments}
        return [
            {"role": "assistant", "content": [part]},
            user([{"type": "tool_result", "tool_use_id": "1", "content": ""}]),
        ]

    once = {"where": {"city": "Bonn", "tags": ["a", 10**5000]}, "limit": 5}
    again = {"limit": 5, "where": {"tags": ["a", 10**5000], "city": "Bonn"}}
    assert detect([user(REQUEST), *turn(once), *turn(again)]) == (Signal.LOOP,)
    again["limit"] = 6
    assert Signal.LOOP not in detect([user(REQUEST), *turn(once), *turn(again)])


def test_a_call_of_long_ago_is_forgotten() -> None:
    others = [("ls", json.dumps({"path": f"/{name * 9}"}), f"{name}") for name in "bcdefghijklmn"]
    first = ("ls", '{"path": "/start"}', "same")
    assert Signal.LOOP in detect(steps(first, *others[: MAX_TURNS - 3], first))
    assert Signal.LOOP not in detect(steps(first, *others[:MAX_TURNS], first))


def test_other_calls_with_known_output_are_no_progress() -> None:
    found = detect(steps(("find", '{"name": "a"}', "x, y"), ("grep", '{"text": "b"}', "x, y")))
    assert found == (Signal.NO_PROGRESS,)


ANSWER = (
    "The quick method is to sort the list first and then walk through it once, comparing each "
    "element with the one before it; whenever they are equal you count a duplicate."
)
CODE = "```python\ndef area(r):\n    return 3.14 * r * r\n\nprint(area(2))\n```\nThis prints it."


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (ANSWER, ANSWER),
        (ANSWER, f"I apologize for the confusion. {ANSWER}"),
        (CODE, CODE),
        (ANSWER * 50, ANSWER * 50),
    ],
)
def test_saying_it_again_is_stagnation(before: str, now: str) -> None:
    messages = [user(REQUEST), assistant(before), user("Really?"), assistant(now), user("Hm.")]
    assert detect(messages) == (Signal.STAGNATION,)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (CODE, CODE.replace("3.14", "math.pi")),
        (CODE, CODE.replace("print(area(2))", "print(area(2))\nprint(area(r))")),
        (ANSWER, f"{ANSWER} That is 43."),
        ("The total of all items is 42 dollars.", "The total of all items is 43 dollars."),
        ("The capital of this country is Paris.", "The capital of this country is Lyon."),
        ("Done.", "Done."),
        (ANSWER, "Start with an empty set and add each element, counting what is in there."),
    ],
)
def test_a_correction_however_small_is_no_stagnation(before: str, now: str) -> None:
    messages = [user(REQUEST), assistant(before), user("Really?"), assistant(now), user("Hm.")]
    assert detect(messages) == ()


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
    assert detect([user(REQUEST), assistant(ANSWER), user("Hm."), assistant(ANSWER)]) == (
        Signal.STAGNATION,
    )


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


# --- the rules themselves -----------------------------------------------------------------------


def test_only_satisfaction_speaks_for_an_answer() -> None:
    assert {Signal.SATISFACTION} == FAVOURABLE


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
