"""Fixtures of the end-to-end tests: real servers, real signals, each test in its own directory.

None needs the network once Kafka's jars are in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Shell, Up


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty directory."""
    shell = Shell(tmp_path)
    yield shell
    shell.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shell, Up]]:
    """A shell where `routefold up` runs, for the tests of one module that leave it running."""
    shell = Shell(tmp_path_factory.mktemp("shared"))
    yield shell, shell.up()
    shell.close()
