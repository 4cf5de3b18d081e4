"""evaluate, audit and explain as processes: help, misuse, and a Kafka that is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NOWHERE = "127.0.0.1:9"
TURN_ID = "019a2b5c-7d3e-7f40-9a1b-2c3d4e5f6071"


def routefold(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "routefold", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=directory,
        env={**os.environ, "ROUTEFOLD_BOOTSTRAP_SERVERS": NOWHERE},
    )


@pytest.mark.parametrize("command", ["evaluate", "audit", "explain"])
def test_help_has_an_example(command: str, tmp_path: Path) -> None:
    shown = routefold(tmp_path, command, "--help")
    assert shown.returncode == 0
    assert "Example:" in shown.stdout
    assert f"routefold {command}" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evaluate",), "--policy"),
        (("evaluate", "--policy", "none.yaml"), "none.yaml: can't be read"),
        (("evaluate", "--policy", "bad.yaml"), "bad.yaml: shares: the shares must sum to 1"),
        (("evaluate", "--policy", "good.yaml", "--from", "now"), "'now' is neither a time"),
        (("audit", "--last", "0"), "--last"),
        (("audit", "--last", "5", "--since", "2026-01-03"), "contradict"),
        (("audit", "--since", "yesterday"), "'yesterday' is neither a time"),
        (("explain", "nonsense"), "'nonsense' is no turn id"),
    ],
)
def test_misuse_is_named(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("shares: {a: 0.5}")
    (tmp_path / "good.yaml").write_text("shares: {a: 1.0}")
    ended = routefold(tmp_path, *arguments)
    assert ended.returncode == 2, ended.stderr
    assert said in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "arguments", [("evaluate", "--policy", "good.yaml"), ("audit",), ("explain", TURN_ID)]
)
def test_a_kafka_that_is_not_there_is_a_failure(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text("shares: {a: 1.0}")
    ended = routefold(tmp_path, *arguments)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert NOWHERE in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
