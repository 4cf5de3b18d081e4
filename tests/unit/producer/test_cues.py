"""The cue finder: what it finds does not depend on which cues share an automaton."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from producer import cues
from producer.cues import CueFinder
from producer.rules import CUES
from producer.rules.model import Cue
from producer.signal_rules import FEEDBACK_CUES

_HERE = Path(__file__).parent


def _texts(name: str) -> list[str]:
    """Every string in a file of labelled texts that is longer than a label."""

    def strings(value: object) -> Iterator[str]:
        match value:
            case str():
                yield value
            case dict():
                for each in value.values():
                    yield from strings(each)
            case list():
                for each in value:
                    yield from strings(each)

    labelled = json.loads((_HERE / name).read_text(encoding="utf-8"))
    return [text for text in strings(labelled) if " " in text]


def _finder(of: Sequence[Cue]) -> CueFinder:
    return CueFinder(of, (), sorted({kind for cue in of for kind in cue.weights}))


@pytest.mark.parametrize(
    ("rules", "file"),
    [(CUES, "labelled_prompts.json"), (FEEDBACK_CUES, "labelled_feedback.json")],
    ids=["request types", "feedback"],
)
@pytest.mark.parametrize("pattern_bytes", [1, 5_000, 1_000_000])
def test_a_cue_is_found_beside_others_where_it_is_found_alone(
    monkeypatch: pytest.MonkeyPatch, rules: Sequence[Cue], file: str, pattern_bytes: int
) -> None:
    monkeypatch.setattr(cues, "_AUTOMATON_PATTERN_BYTES", pattern_bytes)
    together = _finder(rules)
    alone = [(cue.name, _finder([cue])) for cue in rules]
    texts = _texts(file)
    seen = set()
    for text in texts:
        found = together.find(text)
        names = [together.names[number] for number in found]
        assert sorted(names) == sorted(name for name, finder in alone if finder.find(text))
        seen.update(names)
    assert len(texts) > 50
    assert len(seen) > len(rules) / 3
