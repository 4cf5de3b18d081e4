"""The program as a process: help, misuse and failure; one line each, never a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from routefold import cli

COMMANDS = (
    "up",
    "demo",
    "play",
    "apply",
    "state",
    "rebuild",
    "verify",
    "diff",
    "init",
    "serve",
    "consume",
)
KEY = "0123456789abcdef" * 4


def routefold(*arguments: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "routefold", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **{f"ROUTEFOLD_{name}": value for name, value in env.items()}},
    )


def one_line(completed: subprocess.CompletedProcess[str], code: int) -> str:
    """The only line on standard error of a command that ended with `code`."""
    assert completed.returncode == code, completed.stderr
    assert "Traceback" not in completed.stderr
    (line,) = completed.stderr.splitlines()
    assert line.startswith("routefold: ")
    return line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    completed = routefold(command, "--help")
    assert completed.returncode == 0
    assert "Example:" in completed.stdout
    assert f"routefold {command}" in completed.stdout


def test_version() -> None:
    completed = routefold("--version")
    assert completed.returncode == 0
    assert completed.stdout.startswith("routefold ")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("up", "--prot", "1"),
        ("up", "--port", "99999"),
        ("play",),
        ("apply",),
        ("demo", "--turns", "0"),
    ],
)
def test_misuse_of_the_command_line(arguments: tuple[str, ...]) -> None:
    completed = routefold(*arguments)
    assert completed.returncode == 2
    assert "Traceback" not in completed.stderr


def test_ctrl_c_before_a_command_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 130


def test_nothing_runs_here() -> None:
    assert "routefold up" in one_line(routefold("state"), 2)


def test_an_api_that_is_not_there() -> None:
    line = one_line(routefold("state", "--url", "http://127.0.0.1:9"), 1)
    assert "http://127.0.0.1:9" in line


@pytest.mark.parametrize("command", ["consume", "init"])
def test_servers_must_be_named(command: str) -> None:
    assert "ROUTEFOLD_BOOTSTRAP_SERVERS" in one_line(routefold(command), 2)


def test_serve_refuses_to_start_without_token_keys() -> None:
    completed = routefold("serve", BOOTSTRAP_SERVERS="127.0.0.1:9")
    assert "ROUTEFOLD_TOKEN_KEYS_FILE" in one_line(completed, 2)


@pytest.mark.parametrize("command", ["serve", "consume", "init"])
def test_unreachable_servers_are_one_line(command: str) -> None:
    completed = routefold(
        command,
        BOOTSTRAP_SERVERS="127.0.0.1:9",
        POSTGRES_DSN="postgresql://u:hunter2@127.0.0.1:9/db",
        TOKEN_KEYS=KEY,
    )
    line = one_line(completed, 1)
    assert "127.0.0.1:9" in line
    assert "hunter2" not in line


def test_a_broken_dsn_is_not_shown() -> None:
    completed = routefold("init", BOOTSTRAP_SERVERS="127.0.0.1:9", POSTGRES_DSN="postgres//hunter2")
    assert "hunter2" not in one_line(completed, 2)


def test_a_taken_port_says_the_next_step(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        completed = routefold("up", "--port", str(port), "--state-dir", str(tmp_path / "state"))
    line = one_line(completed, 1)
    assert f"127.0.0.1:{port}" in line
    assert "--port 0" in line
    assert not (tmp_path / "state").exists()


def test_a_directory_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    completed = routefold("up", "--port", "0", "--fresh", "--state-dir", str(tmp_path))
    assert "is not a Routefold state directory" in one_line(completed, 1)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_files_that_cannot_be_played(tmp_path: Path) -> None:
    assert "absent.jsonl" in one_line(routefold("play", "absent.jsonl"), 2)
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"rtype": "writing", "r": {"a": {"y": 2, "usd": 0}}}\n')
    assert "broken.jsonl:1:" in one_line(routefold("play", str(broken)), 2)
    assert "turns" in one_line(routefold("play", str(broken), "--turns", "0"), 2)
    both = routefold("play", str(broken), "--in-process", "--url", "http://127.0.0.1:9")
    assert "contradict" in one_line(both, 2)


def test_a_dry_run_checks_without_an_api() -> None:
    config = "{router: chat, arms: [{name: a}]}"
    completed = routefold("apply", "-", "--dry-run", stdin=config)
    assert completed.returncode == 0
    assert completed.stdout == "chat: valid (no API found to compare with)\n"


def test_apply_names_router_and_field() -> None:
    completed = routefold("apply", "-", stdin="router: chat\narms:\n  - {name: a, tire: 1}\n")
    assert "standard input:3: router 'chat': arms.0.tire" in one_line(completed, 2)


def test_without_the_local_extra_the_other_commands_work(tmp_path: Path) -> None:
    (tmp_path / "psutil.py").write_text("raise ModuleNotFoundError('no psutil', name='psutil')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "routefold", *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )

    assert "routefold[local]" in one_line(run("up", "--port", "0"), 1)
    assert "127.0.0.1:9" in one_line(run("state", "--url", "http://127.0.0.1:9"), 1)
    assert "ROUTEFOLD_BOOTSTRAP_SERVERS" in one_line(run("consume"), 2)
