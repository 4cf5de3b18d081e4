"""The recent turns of a request's messages, read backwards and no further than needed.

A turn is one answer of the assistant and what followed it: outputs of the tools it called, words of
the user. Read are OpenAI chat messages (``tool_calls``, role ``tool``, content parts), the items of
OpenAI's Responses API, and Anthropic's ``tool_use`` and ``tool_result`` parts. What has another
shape is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple, TypeAlias

# Sessions grow for days; a request must cost the same at message 20 and at message 20,000.
MAX_MESSAGES: Final = 40
MAX_TURNS: Final = 10
# One message may hold any number of parts or parallel calls.
MAX_PARTS: Final = 16
# Arguments may nest; a call with ten thousand of them is compared by the first ones.
MAX_ARGUMENT_VALUES: Final = 100

# Tuples, because what arrives in their place may not be hashable.
_TEXT_PARTS: Final = ("text", "input_text", "output_text")
_ANSWER_ROLES: Final = ("assistant", "function_call")
_REACTION_ROLES: Final = ("user", "tool", "function", "function_call_output")

Json: TypeAlias = Mapping[str, object]


class Call(NamedTuple):
    """A tool call: its tool and its arguments as one text of any length."""

    tool: str
    arguments: str


class Output(NamedTuple):
    """What a tool answered, of any length, and whether it is flagged as an error."""

    text: str
    flagged: bool


@dataclass(slots=True)
class Turn:
    """One answer and what followed it. The lists hold the latest first, texts of any length:
    most turns are only compared, and texts of different lengths are not even read for that."""

    answered: bool = False
    answers: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    outputs: list[Output] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def answer(self) -> str:
        return _in_order(self.answers)

    @property
    def remark(self) -> str:
        """What the user wrote after the answer."""
        return _in_order(self.remarks)


def recent_turns(messages: object) -> list[Turn]:
    """The last turns, newest first, at most ``MAX_TURNS``; [] where there is no answer yet.

    The oldest may be without an answer: it then holds the request that opened the session. Never
    raises, whatever ``messages`` is.
    """
    turns = [Turn()]
    for message in _newest_first(messages):
        turn = turns[-1]
        role = message.get("role") or message.get("type")
        if role in _ANSWER_ROLES:
            turn.answered = True
            _add_answer(turn, message)
        elif role in _REACTION_ROLES:
            if turn.answered:
                if len(turns) == MAX_TURNS:
                    break
                turn = Turn()
                turns.append(turn)
            _add_reaction(turn, message, role == "user")
    return turns if turns[0].answered else []


def answer_starts(messages: Sequence[object]) -> list[int]:
    """Where the answers begin; consecutive messages of the assistant are one answer."""
    answers = [
        isinstance(message, Mapping)
        and (message.get("role") or message.get("type")) in _ANSWER_ROLES
        for message in messages
    ]
    return [
        position
        for position, (before, answer) in enumerate(zip([False, *answers], answers, strict=False))
        if answer and not before
    ]


def window(text: str, first: int, last: int) -> str:
    """The first and the last characters of a text, so many of each, a line break between."""
    return text if len(text) <= first + last else f"{text[:first]}\n{text[-last:]}"


def _in_order(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else "\n".join(reversed(texts))


def _newest_first(messages: object) -> Iterator[Json]:
    if isinstance(messages, Sequence):
        for message in islice(reversed(messages), MAX_MESSAGES):
            if isinstance(message, Mapping):
                yield message


def _add_answer(turn: Turn, message: Json) -> None:
    content = message.get("content")
    if text := _text(content):
        turn.answers.append(text)
    for part in _parts(content):
        if part.get("type") == "tool_use":
            turn.calls.append(_call(part.get("name"), part.get("input")))
    for call in _parts(message.get("tool_calls")):
        function = call.get("function")
        if isinstance(function, Mapping):
            turn.calls.append(_call(function.get("name"), function.get("arguments")))
    if message.get("type") == "function_call":
        turn.calls.append(_call(message.get("name"), message.get("arguments")))


def _add_reaction(turn: Turn, message: Json, from_user: bool) -> None:
    content = message.get("content")
    if from_user:
        for part in _parts(content):
            if part.get("type") == "tool_result":
                turn.outputs.append(_output(part.get("content"), part))
        if text := _text(content):
            turn.remarks.append(text)
    else:
        turn.outputs.append(_output(content or message.get("output"), message))


def _parts(content: object) -> list[Json]:
    if not isinstance(content, list | tuple):
        return []
    return [part for part in content[:MAX_PARTS] if isinstance(part, Mapping)]


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    texts = [
        part.get("text") for part in _parts(content) if part.get("type", "text") in _TEXT_PARTS
    ]
    return "\n".join(text for text in texts if isinstance(text, str)) if texts else ""


def _output(content: object, holder: Json) -> Output:
    flagged = (
        holder.get("is_error") is True  # Anthropic
        or holder.get("isError") is True  # Model Context Protocol
        or holder.get("status") == "error"  # LangChain
    )
    return Output(_text(content), flagged)


def _call(tool: object, arguments: object) -> Call:
    text = arguments if isinstance(arguments, str) else _flatten(arguments)
    return Call(tool if isinstance(tool, str) else "", text)


def _flatten(arguments: object) -> str:
    """Names and values of nested arguments in a fixed order, the first ``MAX_ARGUMENT_VALUES``."""
    texts: list[str] = []
    waiting: list[object] = [arguments]
    while waiting and len(texts) < MAX_ARGUMENT_VALUES:
        value = waiting.pop()
        if isinstance(value, Mapping):
            names = [name for name in islice(value, MAX_ARGUMENT_VALUES) if isinstance(name, str)]
            for name in sorted(names, reverse=True):
                waiting += (value[name], f"{name}=")
        elif isinstance(value, list | tuple):
            waiting += reversed(value[:MAX_ARGUMENT_VALUES])
        elif isinstance(value, str):
            texts.append(value)
        elif isinstance(value, int):
            texts.append(hex(value))  # str() refuses integers of more than 4,300 digits
        else:
            texts.append(repr(value) if isinstance(value, float) else "")
    return "\n".join(texts)
