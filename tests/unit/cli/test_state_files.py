"""What an installation keeps in its state directory for others to find."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from routefold import endpoints
from routefold.endpoints import Endpoints, find_api_url
from routefold.errors import Misuse
from routefold.settings import load_settings, parse_keys
from routefold.stack.state import StateDir
from routefold.state_dirs import nested
from routefold.token_keys import ensure_key_file


def found(pid: int) -> Endpoints:
    return Endpoints(pid, "http://127.0.0.1:1", "http://127.0.0.1:2", "127.0.0.1:3", "dsn", None)


def dead_pid() -> int:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return ended.pid


def test_endpoints_of_a_living_process_are_found(tmp_path: Path) -> None:
    endpoints.write(tmp_path, found(os.getpid()))
    assert endpoints.read(tmp_path) == found(os.getpid())
    assert find_api_url(load_settings(state_dir=tmp_path)) == "http://127.0.0.1:1"
    endpoints.remove(tmp_path)
    assert endpoints.read(tmp_path) is None


def test_endpoints_left_by_a_killed_process_are_not(tmp_path: Path) -> None:
    endpoints.write(tmp_path, found(dead_pid()))
    assert endpoints.read(tmp_path) is None
    with pytest.raises(Misuse, match="routefold up"):
        find_api_url(load_settings(state_dir=tmp_path))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x"}', "null"])
def test_a_broken_file_is_no_installation(tmp_path: Path, text: str) -> None:
    (tmp_path / endpoints.FILE_NAME).write_text(text)
    assert endpoints.read(tmp_path) is None


def test_a_given_url_wins(tmp_path: Path) -> None:
    endpoints.write(tmp_path, found(os.getpid()))
    settings = load_settings(state_dir=tmp_path, url="https://elsewhere/")
    assert find_api_url(settings) == "https://elsewhere"


def test_the_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = ensure_key_file(tmp_path)
    first = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_key_file(tmp_path).read_text() == first
    assert len(parse_keys(first, "X")) == 1
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_nested_state_directory_leaves_its_parent_usable(tmp_path: Path) -> None:
    parent = tmp_path / "state"
    StateDir.open(nested(parent, "demo")).close()
    StateDir.open(parent).close()  # refused if the parent were a plain directory
