"""What kind of request is this? A pure, bounded decision from the text of the last user message.

RE2 finds all cues in time linear in the text, whatever the text is; the cues add up to evidence per
type, and the type with most evidence wins if it reaches a minimum. Nothing of the text leaves this
module but the name of the type. The rules are in :mod:`producer.rules`, their reasons in
``docs/classifier.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from producer.cues import CueFinder
from producer.rules import CUES, PAIRS
from schemas.request_types import GENERAL, REQUEST_TYPES

# What a request asks for stands at its beginning, pasted documents follow. Bounds the cost.
MAX_TEXT_CHARS: Final = 2_000

# One clear cue, or two hints; less is not enough to leave "general".
MIN_EVIDENCE: Final = 2

_TEXT_PARTS: Final = frozenset({"text", "input_text"})
_TOOL_RESULT_PARTS: Final = frozenset({"tool_result", "function_call_output"})

_FINDER: Final = CueFinder(CUES, PAIRS, REQUEST_TYPES)


class RequestClassifier(Protocol):
    """Names the request type of a chat request; must be pure, must not raise, must not block."""

    def __call__(self, messages: Sequence[Mapping[str, object]]) -> str: ...


@dataclass(frozen=True, slots=True)
class Assessment:
    """A decision with its reasons: evidence per type, and the names of the cues that were found."""

    request_type: str
    evidence: Mapping[str, int]
    cues: tuple[str, ...]


def classify(messages: Sequence[Mapping[str, object]]) -> str:
    """The request type of a chat request: one of ``REQUEST_TYPES``, "general" if it is malformed.

    ``messages`` are OpenAI or Anthropic chat messages, of which :func:`trailing_user_text` counts.
    Pure and thread-safe; never raises; time is bounded whatever the input.
    """
    return classify_text(trailing_user_text(messages))


def classify_text(text: str) -> str:
    """The request type of one text, judged by its first ``MAX_TEXT_CHARS`` characters."""
    return _decide(_FINDER.weigh(_FINDER.find(text[:MAX_TEXT_CHARS])))


def assess(text: str) -> Assessment:
    """The same decision as :func:`classify_text`, with the evidence behind it."""
    found = _FINDER.find(text[:MAX_TEXT_CHARS])
    evidence = _FINDER.weigh(found)
    return Assessment(
        request_type=_decide(evidence),
        evidence=dict(zip(REQUEST_TYPES, evidence, strict=True)),
        cues=tuple(_FINDER.names[number] for number in sorted(found)),
    )


def _decide(evidence: Sequence[int]) -> str:
    """The type with most evidence; the earlier in REQUEST_TYPES, the more specific, wins a tie."""
    most = max(evidence)
    return REQUEST_TYPES[evidence.index(most)] if most >= MIN_EVIDENCE else GENERAL


def trailing_user_text(messages: Sequence[Mapping[str, object]]) -> str:
    """The text of the last message that the user wrote, at most ``MAX_TEXT_CHARS`` characters.

    Messages of other roles, and user messages that only carry tool results (Anthropic), are passed
    over: inside a tool loop the request is still the one that started it. "" without such a text.
    """
    candidates: object = messages  # what arrives over the wire may be anything
    for message in reversed(candidates) if isinstance(candidates, Sequence) else ():
        if not isinstance(message, Mapping) or message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str):
            return content[:MAX_TEXT_CHARS]
        if not isinstance(content, Sequence):
            return ""
        if not _only_tool_results(content):
            return _text_of_parts(content)
    return ""


def _only_tool_results(parts: Sequence[object]) -> bool:
    return bool(parts) and all(
        isinstance(part, Mapping) and _type_of(part) in _TOOL_RESULT_PARTS for part in parts
    )


def _type_of(part: Mapping[str, object]) -> str:
    kind = part.get("type", "text")
    return kind if isinstance(kind, str) else ""


def _text_of_parts(parts: Sequence[object]) -> str:
    texts: list[str] = []
    room = MAX_TEXT_CHARS
    for part in parts:
        if room <= 0:
            break
        text = part
        if isinstance(part, Mapping) and _type_of(part) in _TEXT_PARTS:
            text = part.get("text")
        if isinstance(text, str):
            texts.append(text[:room])
            room -= len(text) + 1  # and the line break between parts
    return "\n".join(texts)
