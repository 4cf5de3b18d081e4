"""PostgreSQL never runs as root, and no directory is opened for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from routefold.stack.errors import RootRefused
from routefold.stack.privileges import step_down

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")


@pytest.mark.skipif(os.geteuid() == 0, reason="for ordinary users")
def test_an_ordinary_user_steps_nowhere(tmp_path: Path) -> None:
    assert step_down(tmp_path) == []


@as_root
def test_root_becomes_the_owner_and_still_passes_private_directories(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    prefix = step_down(directory)
    script = f"id -u && touch {directory}/file && stat -c %u {directory}/file"
    output = subprocess.check_output([*prefix, "sh", "-c", script], text=True)
    owner = str(directory.stat().st_uid)
    assert owner != "0"
    assert output.split() == [owner, owner]
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@as_root
def test_no_privilege_can_be_won_back(tmp_path: Path) -> None:
    prefix = step_down(tmp_path)
    status = subprocess.check_output([*prefix, "cat", "/proc/self/status"], text=True)
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == 1 << 1  # CAP_DAC_OVERRIDE
    assert fields["NoNewPrivs"] == "1"
    assert fields["Groups"].strip() == ""


@as_root
def test_a_directory_keeps_its_ordinary_owner(tmp_path: Path) -> None:
    os.chown(tmp_path, 1, 1)  # daemon, as after a start under another user
    assert "--reuid=1" in step_down(tmp_path)
    assert tmp_path.stat().st_uid == 1


@as_root
def test_an_owner_without_a_name_is_one_clear_error(tmp_path: Path) -> None:
    os.chown(tmp_path, 54_321, 54_321)
    with pytest.raises(RootRefused, match="54321"):
        step_down(tmp_path)


@as_root
def test_without_setpriv_root_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RootRefused, match=r"setpriv \(util-linux\) is not installed"):
        step_down(tmp_path)


@as_root
def test_a_container_that_forbids_it_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "setpriv"
    refusing.write_text("#!/bin/sh\necho 'setpriv: setresuid failed' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{Path(shutil.which('true') or '/bin/true').parent}")
    with pytest.raises(RootRefused, match="setresuid failed") as caught:
        step_down(tmp_path)
    assert "\n" not in str(caught.value)


@as_root
def test_programs_below_a_private_directory_pass_access_checks(tmp_path: Path) -> None:
    """A checkout in a directory of root's own: initdb asks access(2) about its programs."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    program = Path(shutil.copy("/bin/true", private / "program"))
    directory = tmp_path / "data"
    directory.mkdir()
    prefix = step_down(directory)
    access = f"import os, sys; sys.exit(not os.access({str(program)!r}, os.X_OK))"
    python = shutil.which("python3", path="/usr/bin:/bin") or shutil.which("python3")
    assert python is not None
    subprocess.run([*prefix, python, "-c", access], check=True)
