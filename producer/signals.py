"""What the messages of a request show about the session's previous turn.

The client sends the conversation again with every request, so the answer before and what followed
it are in there: what the tools said, what the user said, what the assistant had tried before. Pure,
without memory between requests; reads a bounded tail of the messages; no text leaves this module,
only the names of signals. The rules are in :mod:`producer.signal_rules`, their reasons in
``docs/signals.md``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from producer.cues import CueFinder
from producer.signal_rules import FEEDBACK_CUES
from producer.signal_rules.exchange import Turn, recent_turns, window
from producer.signal_rules.names import ACCEPTANCE, DENIAL, FAVOURABLE, Signal
from producer.signal_rules.repetition import (
    Repeat,
    asks,
    asks_again,
    news,
    repeats_of,
    same_outputs,
    says_again,
)
from producer.signal_rules.tool_output import EXHAUSTION_STATUSES, judge

__all__ = ["FAVOURABLE", "Signal", "cues_in", "detect"]

# One clear cue, or two hints.
MIN_EVIDENCE: Final = 2
# Feedback opens a message or closes it, behind a pasted document that may speak of anything.
REMARK_CHARS: Final = (400, 150)
# Who repeats himself does so within a few answers; a text may recur after many others.
RECENT_ANSWERS: Final = 3

# What is quoted is not said about the answer: "how do you say 'I give up' in French?" Bounded, and
# an apostrophe within a word ends nothing.
_QUOTATION: Final = re.compile(
    r"\"[^\"\n]{2,200}\"|“[^”\n]{2,200}”|«[^»\n]{2,200}»|「[^」\n]{1,200}」"
    r"|['‘](?<!\w['‘])(?:[^'’\n]|['’](?=\w)){2,200}['’](?!\w)"
)

_OF_REPEAT: Final = {Repeat.SIMILAR: Signal.RETRY, Repeat.SAME: Signal.LOOP}
_FEEDBACK: Final = (Signal.SATISFACTION, Signal.MISALIGNMENT, Signal.DISENGAGEMENT)
_FINDER: Final = CueFinder(FEEDBACK_CUES, (), (*_FEEDBACK, DENIAL, ACCEPTANCE))


def detect(
    messages: Sequence[Mapping[str, object]], status_code: int | None = None
) -> tuple[Signal, ...]:
    """The signals about the previous turn, each once, in the order of :class:`Signal`.

    ``messages`` are those of the present request (OpenAI chat or Responses, Anthropic);
    ``status_code`` is the HTTP status of the previous answer, where the caller knows it. Nothing
    where there is no previous answer. Pure and thread-safe; never raises; time is bounded whatever
    the input.
    """
    found: set[Signal] = set()
    if status_code in EXHAUSTION_STATUSES:
        found.add(Signal.EXHAUSTION)
    if turns := recent_turns(messages):
        last, *earlier = turns
        found.update(_in_tools(last, earlier))
        if says_again(last.answer, (turn.answer for turn in earlier[:RECENT_ANSWERS])):
            found.add(Signal.STAGNATION)
        if last.remark:
            found.update(_in_remark(last.remark, last.answer, _request(earlier)))
    return tuple(signal for signal in Signal if signal in found)


def cues_in(remark: str) -> tuple[str, ...]:
    """The names of the cues found in a user's message: why it was read as it was."""
    found = _FINDER.find(_own_words(remark))
    return tuple(_FINDER.names[number] for number in sorted(found))


def _in_tools(last: Turn, earlier: Sequence[Turn]) -> set[Signal]:
    seen = [output for turn in earlier for output in turn.outputs]
    found = {verdict for output in last.outputs if (verdict := judge(output))}
    if same_outputs(last.outputs, seen):
        found.add(Signal.NO_PROGRESS)
    # The same call with another answer is no loop: waiting for a job, testing after a change. But
    # errors differ in a line number and are still errors.
    if Signal.FAILURE in found or not news(last.outputs, seen):
        calls = [call for turn in earlier for call in turn.calls]
        found.update(_OF_REPEAT[repeat] for repeat in repeats_of(last.calls, calls) if repeat)
    return found


def _in_remark(remark: str, answer: str, request: str) -> set[Signal]:
    """What the user says about an answer that was given to ``request``."""
    *evidence, denial, acceptance = _FINDER.weigh(_FINDER.find(_own_words(remark)))
    found = {
        signal for signal, weight in zip(_FEEDBACK, evidence, strict=True) if weight >= MIN_EVIDENCE
    }
    asked = asks(answer)
    if (denial >= MIN_EVIDENCE and not asked) or asks_again(remark, request):
        found.add(Signal.MISALIGNMENT)
    if acceptance >= MIN_EVIDENCE and asked:
        found.discard(Signal.DISENGAGEMENT)
    return found


def _own_words(remark: str) -> str:
    return _QUOTATION.sub(" ", window(remark, *REMARK_CHARS))


def _request(earlier: Sequence[Turn]) -> str:
    """The request that the last answer was given to: the user's latest words before it."""
    return next((turn.remark for turn in earlier if turn.remark), "")
