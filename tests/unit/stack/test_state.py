"""The state directory: created, kept, refused, wiped."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from routefold.stack.errors import NotAStateDir, StateBroken, StateInUse
from routefold.stack.state import MARKER, Ports, State, StateDir, wipe

PORTS = Ports(kafka=20_001, kafka_controller=20_002, postgres=20_003)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state"


@pytest.fixture
def used(path: Path) -> Path:
    """A directory that was used, and closed."""
    state_dir = StateDir.open(path)
    state_dir.set_ports(PORTS)
    state_dir.set_initialised("kafka")
    (state_dir.kafka / "data").mkdir()
    (state_dir.kafka / "data" / "segment").write_text("records")
    state_dir.close()
    return path


def test_a_new_directory_is_marked_private_and_ignored_by_git(path: Path) -> None:
    state_dir = StateDir.open(path)
    assert (path / MARKER).is_file()
    assert (path / ".gitignore").read_text() == "*\n"
    assert all(
        directory.stat().st_mode & 0o077 == 0
        for directory in (path, state_dir.secrets, state_dir.kafka, state_dir.postgres)
    )
    state_dir.close()


def test_state_survives(used: Path) -> None:
    cluster_id = json.loads((used / "state.json").read_text())["kafka_cluster_id"]
    state_dir = StateDir.open(used)
    assert state_dir.state == State(PORTS, cluster_id, frozenset({"kafka"}))
    assert state_dir.is_initialised("kafka")
    assert not state_dir.is_initialised("postgres")
    state_dir.close()


def test_a_second_user_is_refused_with_the_first_ones_pid(path: Path) -> None:
    first = StateDir.open(path)
    with pytest.raises(StateInUse, match=rf"{path} \(process {os.getpid()}\)"):
        StateDir.open(path)
    with pytest.raises(StateInUse):
        wipe(path)
    first.close()
    StateDir.open(path).close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"version": 2, "ports": {}, "kafka_cluster_id": "x", "initialised": []}',
        '{"version": 1, "ports": {"mail": 25}, "kafka_cluster_id": "x", "initialised": []}',
        '{"version": 1, "ports": {"kafka": "9092"}, "kafka_cluster_id": "x", "initialised": []}',
        '{"version": 1, "ports": [], "kafka_cluster_id": "x", "initialised": []}',
        '{"version": 1, "ports": {}, "kafka_cluster_id": null, "initialised": []}',
        "\xff",
    ],
)
def test_a_broken_state_file_names_the_path_and_the_way_out(used: Path, text: str) -> None:
    (used / "state.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(StateBroken, match=rf"{used}: state\.json can't be read .* --fresh"):
        StateDir.open(used)
    wipe(used)
    StateDir.open(used).close()


def test_data_without_a_state_file_is_refused(used: Path) -> None:
    (used / "state.json").unlink()
    with pytest.raises(StateBroken, match=r"no state\.json.*--fresh"):
        StateDir.open(used)
    assert (used / "kafka" / "data" / "segment").read_text() == "records"


def test_a_start_killed_before_its_state_file_was_written_is_simply_redone(path: Path) -> None:
    path.mkdir(parents=True)
    (path / MARKER).touch()
    (path / ".lock").touch()
    (path / "state.json.new").write_text("{")
    StateDir.open(path).close()
    assert json.loads((path / "state.json").read_text())["version"] == 1


def test_a_directory_without_marker_is_never_used_or_deleted(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    with pytest.raises(NotAStateDir, match=rf"{tmp_path} is not a Routefold state directory"):
        StateDir.open(tmp_path)
    with pytest.raises(NotAStateDir):
        wipe(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_used_directory_that_lost_its_marker_is_left_alone(used: Path) -> None:
    (used / MARKER).unlink()
    for use in (StateDir.open, wipe):
        with pytest.raises(NotAStateDir, match=MARKER):
            use(used)
    assert (used / "kafka" / "data" / "segment").exists()


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("keep")
    with pytest.raises(StateBroken, match="can't be used"):
        StateDir.open(file)
    with pytest.raises(NotAStateDir):
        wipe(file)
    assert file.read_text() == "keep"


def test_wipe_deletes_all_and_only_this(used: Path) -> None:
    neighbour = used.parent / "neighbour"
    neighbour.mkdir()
    (used / "kafka" / "link").symlink_to(neighbour)
    (used / "link").symlink_to(neighbour)
    (neighbour / "file").touch()
    wipe(used)
    assert not used.exists()
    assert (neighbour / "file").exists()


def test_an_interrupted_wipe_can_be_repeated(used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", interrupt)
        with pytest.raises(KeyboardInterrupt):
            wipe(used)
    wipe(used)
    assert not used.exists()


def test_wipe_of_nothing_is_fine(tmp_path: Path) -> None:
    wipe(tmp_path / "absent")
    empty = tmp_path / "empty"
    empty.mkdir()
    wipe(empty)
    assert not empty.exists()


def test_cluster_ids_differ_and_never_look_like_an_option() -> None:
    ids = {State().kafka_cluster_id for _ in range(300)}
    assert len(ids) == 300
    assert all(len(identity) == 22 and not identity.startswith("-") for identity in ids)
