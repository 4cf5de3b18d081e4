"""Other ways to score a conversation turn by turn: LiteLLM's detectors, and plain counting."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import accumulate
from typing import Any, Final, Protocol

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class TurnScores:
    """Running scores after each turn: when its answer is given, and when the next request, which
    shows the reaction to it, has arrived."""

    answered: tuple[float, ...]
    reacted: tuple[float, ...]


class Rival(Protocol):
    """Scores a whole conversation."""

    def __call__(self, messages: Messages) -> TurnScores: ...


def _requests(messages: Messages) -> list[tuple[Messages, Mapping[str, Any]]]:
    """(what came since the last answer, the answer) for each answer."""
    starts = [number for number, message in enumerate(messages) if message["role"] == "assistant"]
    ends = [-1, *starts]
    return [
        (messages[before + 1 : start], messages[start])
        for before, start in zip(ends, starts, strict=False)
    ]


_ERROR_WORDS: Final = re.compile(r"error|exception|traceback|failed|invalid|not found", re.I)


def counting(messages: Messages) -> TurnScores:
    """Minus one for each tool result with an error word and for each repeated call."""
    seen: set[tuple[str, str]] = set()
    errors, repeats = [], []
    for before, answer in _requests(messages):
        errors.append(
            sum(
                bool(_ERROR_WORDS.search(message["content"] or ""))
                for message in before
                if message["role"] == "tool"
            )
        )
        calls = [
            (call["function"]["name"], call["function"]["arguments"])
            for call in answer.get("tool_calls", ())
        ]
        repeats.append(sum(call in seen for call in calls))
        seen.update(calls)
    return _credited([-error for error in errors], [-repeat for repeat in repeats])


def litellm_rival() -> Rival:
    """LiteLLM's adaptive router: its detectors, fed as its hooks feed them, with its weights.

    Raises ImportError where LiteLLM is not installed or has no such detectors.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no download on import
    module = import_module("litellm.router_strategy.adaptive_router.signals")

    def rival(messages: Messages) -> TurnScores:
        state = module.SessionState("session", "router", "model", "general")
        by_request, by_answer = [], []
        for before, answer in _requests(messages):
            remarks = [message["content"] for message in before if message["role"] == "user"]
            delta = module.apply_turn(
                state,
                module.Turn(
                    user_content=remarks[-1] if remarks else None,
                    assistant_content=answer["content"],
                    tool_calls=answer.get("tool_calls", []),
                    tool_results=[message for message in before if message["role"] == "tool"],
                ),
            )
            blamed = delta.misalignment + delta.disengagement + delta.failure
            by_request.append(delta.satisfaction - blamed)
            by_answer.append(-delta.stagnation - 0.5 * delta.loop)
        return _credited(by_request, by_answer)

    return rival


def _credited(by_request: Sequence[float], by_answer: Sequence[float]) -> TurnScores:
    """Running scores from what each request and each answer shows."""
    answered = list(accumulate(map(sum, zip(by_request, by_answer, strict=True))))
    following = [*by_request[1:], 0.0]
    reacted = [score + next_ for score, next_ in zip(answered, following, strict=True)]
    return TurnScores(tuple(answered), tuple(reacted))
