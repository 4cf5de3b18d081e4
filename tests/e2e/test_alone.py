"""`play` and `demo` without anything running: they bring all they need, and leave nothing."""

from __future__ import annotations

import json

import pytest

from tests.e2e.program import Shell, processes_in
from tests.e2e.recorded import ROWS, write_log

pytestmark = pytest.mark.e2e


def test_play(shell: Shell) -> None:
    log = write_log(shell.directory)
    played = shell.run("play", str(log), "--json", "report.json")
    assert played.code == 0, played.err
    report = json.loads((shell.directory / "report.json").read_text())
    assert report["complete"] is True
    assert report["events"]["accepted"] == report["events"]["folded"] == 2 * ROWS
    assert f"{2 * ROWS:,} folded, 0 duplicates" in played.out
    assert processes_in(shell.directory) == []


def test_demo(shell: Shell) -> None:
    shown = shell.run("demo", "--turns", "1500", "--json")
    assert shown.code == 0, shown.err
    report = shown.document
    events = report["events"]
    assert events == {"accepted": 3000, "folded": 3000, "duplicates": 0, "late": 0, "dead": 0}
    assert report["utility"]["by_quarter"][-1] > report["utility"]["uniform"]
    assert "\x1b" not in shown.err
    assert processes_in(shell.directory) == []
