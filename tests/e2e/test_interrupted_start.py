"""Ctrl-C while everything is still starting: nothing is left, and quickly."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.e2e.program import STOP_LIMIT_S, clean_environment, program, wait_for_child

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("first_child", ["java", "postgres", "serve"])
def test_interrupted_while_starting(tmp_path: Path, first_child: str) -> None:
    _interrupt_when_running(first_child, tmp_path, {})


def test_interrupted_during_the_first_download(tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    endless = programs / "mvn"
    endless.write_text("#!/bin/sh\nexec sleep 60\n")
    endless.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    environment = {"PATH": path, "ROUTEFOLD_CACHE_DIR": str(tmp_path / "cache")}
    _interrupt_when_running("sleep", tmp_path, environment)


def _interrupt_when_running(child: str, directory: Path, environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        program("up", "--port", "0"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        env=clean_environment() | environment,
    )
    family = wait_for_child(process.pid, child)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=STOP_LIMIT_S)
    assert process.returncode == 0
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(family, timeout=3)
    assert alive == []


def test_interrupted_while_the_program_loads(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    ended = subprocess.run(
        program("--help"),
        capture_output=True,
        text=True,
        check=False,
        timeout=STOP_LIMIT_S,
        env=clean_environment() | {"PYTHONPATH": str(tmp_path)},
    )
    assert ended.returncode == 128 + signal.SIGINT
    assert ended.stderr == ""
