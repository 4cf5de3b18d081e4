"""Chat messages as the signal tests write them."""

from __future__ import annotations

from typing import Any, TypeAlias

Message: TypeAlias = dict[str, Any]

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
