"""What was said or tried before: loops, retries, outputs and answers that come again."""

from __future__ import annotations

import json

import pytest

from producer.signal_rules.exchange import MAX_TURNS
from producer.signals import Signal, detect
from tests.unit.producer.chats import REQUEST, Message, assistant, steps, user


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
