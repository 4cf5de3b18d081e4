"""`export` and `dead-letters` as processes, where there is nothing to reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from routefold import endpoints
from routefold.endpoints import Endpoints
from routefold.errors import Misuse
from routefold.settings import Settings, load_settings

NO_KAFKA = {"BOOTSTRAP_SERVERS": "127.0.0.1:9"}
NO_POSTGRES = {**NO_KAFKA, "POSTGRES_DSN": "postgresql://u:hunter2@127.0.0.1:9/db"}


def routefold(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "routefold", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **{f"ROUTEFOLD_{name}": value for name, value in env.items()}},
    )


def last_line(completed: subprocess.CompletedProcess[str], code: int) -> str:
    """What a command that failed says; before it there may be a bar."""
    assert completed.returncode == code, completed.stderr
    assert "Traceback" not in completed.stderr
    assert "hunter2" not in completed.stderr
    line = completed.stderr.splitlines()[-1]
    assert line.startswith("routefold: ")
    return line


@pytest.mark.parametrize(
    "command",
    [
        ("export",),
        ("dead-letters", "list"),
        ("dead-letters", "show"),
        ("dead-letters", "redrive"),
    ],
    ids=" ".join,
)
def test_every_command_has_help_with_an_example(command: tuple[str, ...]) -> None:
    completed = routefold(*command, "--help")
    assert completed.returncode == 0
    assert "Example:" in completed.stdout
    assert f"routefold {' '.join(command)}" in completed.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "--out", "a", "--from", "yesterday"), "yesterday"),
        (("export", "--out", "a"), "routefold up"),
        (("dead-letters", "list"), "routefold up"),
        (("dead-letters", "show", "nonsense"), "PARTITION:OFFSET"),
        (("dead-letters", "redrive"), "exactly one"),
        (("dead-letters", "redrive", "1:2", "--all"), "exactly one"),
    ],
)
def test_misuse_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    assert said in last_line(routefold(*arguments), 2)


@pytest.mark.parametrize(
    "arguments", [("export",), ("export", "--out", "a", "--format", "csv"), ("dead-letters", "x")]
)
def test_misuse_of_the_command_line(arguments: tuple[str, ...]) -> None:
    completed = routefold(*arguments)
    assert completed.returncode == 2
    assert "Traceback" not in completed.stderr


def test_unreachable_servers_are_one_line(tmp_path: Path) -> None:
    out = tmp_path / "archive"
    line = last_line(routefold("export", "--out", str(out), **NO_KAFKA), 1)
    assert "127.0.0.1:9" in line
    for command in (("list",), ("show", "1:2"), ("redrive", "--all")):
        assert "127.0.0.1:9" in last_line(routefold("dead-letters", *command, **NO_POSTGRES), 1)


def test_a_directory_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    line = last_line(routefold("export", "--out", str(tmp_path), **NO_KAFKA), 2)
    assert "something else" in line
    assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


def up_at(state_dir: Path, password_file: Path | None) -> Settings:
    """Settings beside an `up` that runs there."""
    found = Endpoints(
        pid=os.getpid(),
        api_url="http://127.0.0.1:1",
        consumer_metrics_url="http://127.0.0.1:2",
        bootstrap_servers="127.0.0.1:3",
        postgres="postgresql://routefold@127.0.0.1:4/routefold",
        password_file=str(password_file) if password_file else None,
    )
    endpoints.write(state_dir, found)
    return load_settings(state_dir=state_dir)


def test_the_postgres_of_a_running_up_is_found(tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    password_file.write_text("hunter2\n")
    dsn = endpoints.find_postgres_dsn(up_at(tmp_path, password_file))
    assert "hunter2" not in repr(dsn)
    parts = conninfo_to_dict(dsn.get_secret_value())
    assert (parts["host"], parts["port"], parts["password"]) == ("127.0.0.1", "4", "hunter2")


def test_a_postgres_whose_password_up_was_given_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="set ROUTEFOLD_POSTGRES_DSN"):
        endpoints.find_postgres_dsn(up_at(tmp_path, None))
    with pytest.raises(Misuse, match="routefold up"):
        endpoints.find_postgres_dsn(load_settings(state_dir=tmp_path / "elsewhere"))
    given = load_settings(state_dir=tmp_path, postgres_dsn="postgresql://u@h/d")
    assert endpoints.find_postgres_dsn(given).get_secret_value() == "postgresql://u@h/d"
