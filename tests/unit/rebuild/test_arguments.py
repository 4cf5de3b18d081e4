"""Half-lives and reward weights as users write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from routefold.errors import Misuse
from routefold.rebuilds.arguments import parse_half_lives, read_reward_weights


def test_half_lives() -> None:
    given = ["quality.slow=7d", "quality.fast=1.5h", "latency.slow=never", "latency.fast=500ms"]
    assert parse_half_lives(given) == {
        "quality.slow": 604_800.0,
        "quality.fast": 5400.0,
        "latency.slow": None,
        "latency.fast": 0.5,
    }


@pytest.mark.parametrize("text", ["quality.slow", "quality.slow=", "quality.slow=7", "x=soon"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Misuse, match=r"quality\.slow|duration"):
        parse_half_lives([text])


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("quality: 1\nerror: 0.5\n", {"*": {"quality": 1, "error": 0.5}}),
        ("chat: {quality: 1}\n", {"chat": {"quality": 1}}),
        (
            '{"chat": {"quality": 1}, "code": {"error": 2}}',
            {"chat": {"quality": 1}, "code": {"error": 2}},
        ),
    ],
)
def test_reward_weights_for_every_router_or_for_some(
    tmp_path: Path, text: str, weights: dict[str, dict[str, float]]
) -> None:
    file = tmp_path / "weights.yaml"
    file.write_text(text)
    assert read_reward_weights(file) == weights
    assert read_reward_weights(None) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quality: 1\nchat: {error: 1}\n", "mixes"),
        ("- quality\n", "metric: weight"),
        ("", "metric: weight"),
        ("quality: [\n", "neither YAML nor JSON"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "weights.yaml"
    file.write_text(text)
    with pytest.raises(Misuse, match=message):
        read_reward_weights(file)
    with pytest.raises(Misuse, match="can't be read"):
        read_reward_weights(tmp_path / "absent.yaml")
