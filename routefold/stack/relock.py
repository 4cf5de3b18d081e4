"""Writes jars.lock anew after a change of pom.xml: python -m routefold.stack.relock

Trusts what the repository answers now; the difference to the committed file is for review.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from routefold.stack.broker import KAFKA_VERSION
from routefold.stack.fetch import choose_fetcher
from routefold.stack.jars import LOCK_FILE, sha256
from routefold.stack.java import find_java


def relock() -> None:
    """Raises StackError."""
    fetch = choose_fetcher(find_java(os.environ))
    with tempfile.TemporaryDirectory() as temporary:
        jars, repository = Path(temporary, "jars"), Path(temporary, "repository")
        jars.mkdir()
        repository.mkdir()
        fetch(jars, repository, trust_local=False, on_jar=lambda _file_name: None)
        lines = [f"{sha256(jar)}  {jar.name}" for jar in sorted(jars.iterdir())]
    header = (
        f"# The jars of Kafka {KAFKA_VERSION} as pom.xml resolves them, in the form of sha256sum.\n"
        "# Written by: python -m routefold.stack.relock\n"
    )
    LOCK_FILE.write_text(header + "\n".join(lines) + "\n")


if __name__ == "__main__":
    relock()
