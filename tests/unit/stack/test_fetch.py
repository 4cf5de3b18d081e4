"""How Maven is called, and what its failure looks like to a user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from routefold.stack.errors import DownloadFailed
from routefold.stack.fetch import POM, MavenFetcher, choose_fetcher, fetch_with_jgo

MakeMaven = Callable[[str], MavenFetcher]


@pytest.fixture
def make_maven(tmp_path: Path) -> MakeMaven:
    """A program in Maven's place: a shell script with the given body."""

    def make(body: str) -> MavenFetcher:
        program = tmp_path / "mvn"
        program.write_text(f"#!/bin/sh\n{body}\n")
        program.chmod(0o755)
        return MavenFetcher(program, tmp_path / "jre" / "bin" / "java")

    return make


def _fetch(maven: MavenFetcher, tmp_path: Path, *, trust_local: bool = True) -> list[str]:
    arrived: list[str] = []
    maven(tmp_path, tmp_path / "repository", trust_local=trust_local, on_jar=arrived.append)
    return arrived


def test_maven_progress_is_read_from_its_output(make_maven: MakeMaven, tmp_path: Path) -> None:
    maven = make_maven(
        "echo '[INFO] Downloading from central: https://host/org/x/1/x-1.jar'\n"
        "echo '[INFO] Downloaded from central: https://host/org/x/1/x-1.pom (1 kB at 2 kB/s)'\n"
        "echo '[INFO] Downloaded from central: https://host/org/x/1/x-1.jar (1.2 MB at 11 MB/s)'"
    )
    assert _fetch(maven, tmp_path) == ["x-1.jar"]


def test_maven_gets_our_pom_and_target(make_maven: MakeMaven, tmp_path: Path) -> None:
    maven = make_maven(f'printf "%s\\n" "$@" > {tmp_path}/arguments')
    _fetch(maven, tmp_path)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert f"--file={POM}" in arguments
    assert f"-DoutputDirectory={tmp_path}" in arguments
    assert not any("maven.repo.local" in argument for argument in arguments)
    _fetch(maven, tmp_path, trust_local=False)
    arguments = (tmp_path / "arguments").read_text().splitlines()
    assert f"-Dmaven.repo.local={tmp_path / 'repository'}" in arguments


def test_maven_runs_on_our_java_where_there_is_no_other(
    make_maven: MakeMaven, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maven = make_maven(f'echo "$JAVA_HOME" > {tmp_path}/java_home')
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    _fetch(maven, tmp_path)
    assert (tmp_path / "java_home").read_text().strip() == str(tmp_path / "jre")


def test_no_network_is_one_line_that_says_what_to_do(make_maven: MakeMaven, tmp_path: Path) -> None:
    maven = make_maven(
        "echo '[ERROR] Plugin x could not be resolved: Unknown host repo -> [Help 1]'\n"
        "echo '[ERROR] To see the full stack trace, re-run Maven with -e'\nexit 1"
    )
    with pytest.raises(DownloadFailed) as caught:
        _fetch(maven, tmp_path)
    message = str(caught.value)
    assert "Unknown host repo)" in message
    assert "Connect this machine to the network" in message
    assert "ROUTEFOLD_CACHE_DIR" in message
    assert "\n" not in message


def test_jgo_stands_in_where_maven_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose_fetcher(Path("java")) is fetch_with_jgo


def test_maven_goes_first(
    make_maven: MakeMaven, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_maven("exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert isinstance(choose_fetcher(Path("java")), MavenFetcher)
