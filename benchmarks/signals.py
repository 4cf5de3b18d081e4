"""Do the signals tell good sessions from bad ones, and what do they cost?

Recorded conversations with a success label (MINT, InterCode, tau-bench). Whole conversations are no
fair measure: they end when they succeed, so their length alone gives areas of .86 to .96. Compared
are conversations that go on after the same turn, by what was known then: at turns 2, 3, 4, 5, 6 and
8, averaged by the number of conversations. "answered": when answer k was given; "reacted": when
the next request, which shows the reaction to it, has arrived. The classifier is timed on the same
requests.
"""

from __future__ import annotations

import gc
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.litellm_version import require_litellm
from benchmarks.report import OURS, print_figure
from benchmarks.signal_rivals import Messages, Rival, counting, litellm_rival
from producer.calibration import (
    CHECKPOINTS,
    Calibration,
    Observed,
    calibrate,
    cross_validated_areas,
    evidence_of,
    observe,
    tasks_of,
)
from producer.calibration_fit import SIGNALS, Evidence, area_at_turns, fit
from producer.classifier import classify
from producer.signal_rules.exchange import answer_starts
from producer.signals import Signal, detect

_BESIDE: Final = Path(__file__).parents[2] / "shared" / "data" / "conversations.jsonl.gz"
DATA: Final = Path(os.environ.get("BENCH_CONVERSATIONS", _BESIDE))
# What a client sends. The environment's verdicts, under another key, are never read.
_SENT: Final = ("role", "content", "tool_calls", "tool_call_id", "name")
_HOSTILE_CHARS: Final = 100_000
_SEED: Final = 0


@dataclass(frozen=True)
class Recorded:
    """A conversation as sent, as observed, and the signals known at each answer."""

    messages: Messages
    observed: Observed
    at_answers: tuple[frozenset[Signal], ...]


def run() -> None:
    if not DATA.exists():
        print(f"no conversations at {DATA}: set BENCH_CONVERSATIONS", file=sys.stderr)
        return
    conversations = list(_load())
    sources = sorted({conversation.observed.source for conversation in conversations})
    for source in sources:
        _print_areas(source, conversations)
    _print_pooled(conversations)
    for name, rival in _rivals():
        for source in sources:
            _print_rival(source, name, rival, conversations)
    for source in sources:
        _print_worth(source, calibrate(_observed(conversations, source), seed=_SEED))
    _print_worth("all", calibrate(_observed(conversations), seed=_SEED))
    _print_cost(conversations)


def _load() -> Iterator[Recorded]:
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            messages = [
                {name: message[name] for name in _SENT if name in message}
                for message in row["messages"]
            ]
            if not (starts := answer_starts(messages)):
                continue
            task = row["id"].rpartition(":")[0]
            yield Recorded(
                messages,
                observe(messages, bool(row["success"]), row["src"], task),
                tuple(frozenset(detect(messages[: start + 1])) for start in starts),
            )


def _observed(conversations: Sequence[Recorded], source: str | None = None) -> list[Observed]:
    return [
        conversation.observed
        for conversation in conversations
        if source in (None, conversation.observed.source)
    ]


def _when_answered(evidence: Evidence, conversations: Sequence[Recorded]) -> Evidence:
    """The same conversations without the reaction to the last of the turns counted."""
    counts = evidence.counts.copy()
    for row, conversation in enumerate(conversations):
        for column, checkpoint in enumerate(CHECKPOINTS):
            if len(conversation.at_answers) > checkpoint:
                reacted = conversation.observed.turns[checkpoint - 1]
                answered = conversation.at_answers[checkpoint - 1]
                counts[row, column] += [
                    (signal in answered) - (signal in reacted) for signal in SIGNALS
                ]
    return replace(evidence, counts=counts)


def _print_areas(source: str, conversations: Sequence[Recorded]) -> None:
    """Fitted to other tasks of the source, and to the other sources."""
    own = [c for c in conversations if c.observed.source == source]
    others = [c for c in conversations if c.observed.source != source]
    for known, evidence in _both(own):
        rng = np.random.default_rng(_SEED)
        tasks = tasks_of(_observed(own))
        areas = cross_validated_areas(evidence, tasks, [source] * len(own), rng)
        _print_area(source, f"cross-validated, {known}", areas[source])
        elsewhere = fit(dict(_both(others))[known])
        area = area_at_turns(evidence.scores(elsewhere), evidence.success)
        _print_area(source, f"fitted to the other sources, {known}", area)


def _print_pooled(conversations: Sequence[Recorded]) -> None:
    """One set of weights for all sources, fitted to other tasks."""
    sources = [conversation.observed.source for conversation in conversations]
    tasks = tasks_of(_observed(conversations))
    for known, evidence in _both(conversations):
        rng = np.random.default_rng(_SEED)
        areas = cross_validated_areas(evidence, tasks, sources, rng)
        for source, area in areas.items():
            _print_area(source, f"fitted to all sources, cross-validated, {known}", area)


def _both(conversations: Sequence[Recorded]) -> Iterator[tuple[str, Evidence]]:
    evidence = evidence_of(_observed(conversations))
    yield "reacted", evidence
    yield "answered", _when_answered(evidence, conversations)


def _rivals() -> Iterator[tuple[str, Rival]]:
    yield "error words and repeated calls", counting
    name = require_litellm("its detectors are left out")
    if name is None:
        return
    try:
        yield name, litellm_rival()
    except ImportError as error:
        print(f"{name} has no detectors to run: {error}", file=sys.stderr)


def _print_rival(source: str, name: str, rival: Rival, conversations: Sequence[Recorded]) -> None:
    own = [c for c in conversations if c.observed.source == source]
    success = np.array([c.observed.success for c in own])
    scored = [rival(conversation.messages) for conversation in own]
    for known in ("reacted", "answered"):
        scores = _at_checkpoints([getattr(scores, known) for scores in scored])
        _print_area(source, f"as it is, {known}", area_at_turns(scores, success), name)


def _at_checkpoints(running: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    return np.array(
        [[scores[k - 1] if len(scores) > k else np.nan for k in CHECKPOINTS] for scores in running]
    )


def _print_area(source: str, how: str, area: float | None, who: str = OURS) -> None:
    if area is not None:
        print_figure("signals", source, f"area, {how}", area, "AUC", who)


def _print_worth(case: str, calibration: Calibration) -> None:
    for worth in calibration.signals:
        figures: Mapping[str, float | None] = {
            "turns fired": worth.turns,
            "conversations fired": worth.conversations,
            "success where fired": worth.success_with,
            "success where not": worth.success_without,
            "weight": worth.weight,
            "weight, low": worth.low,
            "weight, high": worth.high,
        }
        for metric, value in figures.items():
            if value is not None:
                unit = "count" if "fired" in metric and "success" not in metric else "share"
                unit = "log-odds" if metric.startswith("weight") else unit
                print_figure("signals", f"{case}, {worth.signal}", metric, value, unit)


# --- cost ---------------------------------------------------------------------------------------


def _print_cost(conversations: Sequence[Recorded]) -> None:
    """CPU time of one request, so that neighbours on the machine don't count."""
    gc.freeze()  # collecting the loaded conversations is not the signals' work
    requests: dict[str, list[Messages]] = {"all": []}
    for conversation in conversations:
        messages = conversation.messages
        ends = [*answer_starts(messages)[1:], len(messages)]
        for case in (conversation.observed.source, "all"):
            requests.setdefault(case, []).extend(messages[:end] for end in ends)
    for read in (detect, classify):
        _print_times(read, requests)


def _print_times(
    read: Callable[[Messages], object], requests: Mapping[str, Sequence[Messages]]
) -> None:
    name = read.__name__
    for case, sent in requests.items():
        times = [_cpu_us(read, messages) for messages in sent]
        print_figure("signals", case, f"{name}, median", float(np.median(times)), "us CPU")
        print_figure("signals", case, f"{name}, p99", float(np.percentile(times, 99)), "us CPU")
    for case, messages in _hostile().items():
        first = _cpu_us(read, messages)
        print_figure("signals", f"hostile, {case}", f"{name}, first time", first, "us CPU")
        again = float(np.median([_cpu_us(read, messages) for _ in range(5)]))
        print_figure("signals", f"hostile, {case}", f"{name}, again", again, "us CPU")


def _cpu_us(read: Callable[[Messages], object], messages: Messages) -> float:
    begin = time.thread_time_ns()
    read(messages)
    return (time.thread_time_ns() - begin) / 1000


def _hostile() -> dict[str, Messages]:
    """100 kB of near matches each: of a cue, of quotations, of calls, of answers, of arguments."""

    def chat(answer: Mapping[str, Any], *reaction: Mapping[str, Any]) -> Messages:
        return [{"role": "user", "content": "Do it"}, {"role": "assistant", **answer}, *reaction]

    def fill(text: str, chars: int = _HOSTILE_CHARS) -> str:
        return text * (chars // len(text))

    def said(text: str) -> Messages:
        return chat({"content": "Done."}, {"role": "user", "content": fill(text)})

    def printed(text: str) -> Messages:
        return chat({"content": None}, {"role": "tool", "content": fill(text)})

    def repeated(make: Callable[[int], Mapping[str, Any]], count: int) -> Messages:
        return [{"role": "user", "content": "Do it"}, *(dict(make(n)) for n in range(count))]

    def answer(number: int) -> Mapping[str, Any]:
        text = f"{fill('f(x); ', 4_900)}{number}"
        return {"role": "user" if number % 2 else "assistant", "content": text}

    def call(number: int) -> Mapping[str, Any]:
        arguments = json.dumps({"n": number, "text": fill("{[a b ", 900)})
        calls = [{"function": {"name": "run", "arguments": arguments}}] * 5
        return (
            {"role": "tool", "content": ""}
            if number % 2
            else {"role": "assistant", "content": None, "tool_calls": calls}
        )

    nested: dict[str, Any] = {}
    for number in range(200):
        nested = {"a": nested, "b": fill("x ", 480), str(number): [number] * 20}
    use = {"type": "tool_use", "name": "run", "input": nested}
    return {
        "not quite wrong": said("this is still not even "),
        "not quite thanks": said("thanks but "),
        "wishes for a human": said("i want to talk to a real "),
        "quotation marks": said("'a' \"b “c "),
        "punctuation": said("(:!;)-"),
        "error": printed("error: "),
        "open JSON": printed('{"error":['),
        "lines": printed("x: invalid\n"),
        "answers": repeated(answer, 20),
        "calls": repeated(call, 40),
        "nested arguments": [*chat({"content": [use]}), *chat({"content": [use]})[1:]],
    }
