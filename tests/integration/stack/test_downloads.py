"""Both ways to fetch the jars, against the real repository: ROUTEFOLD_TEST_DOWNLOADS=1 to run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from routefold.stack.fetch import Fetcher, MavenFetcher, fetch_with_jgo
from routefold.stack.jars import JarLock
from routefold.stack.java import find_java

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        os.environ.get("ROUTEFOLD_TEST_DOWNLOADS") != "1",
        reason="downloads 45 MB twice: set ROUTEFOLD_TEST_DOWNLOADS=1",
    ),
]


def _maven() -> Fetcher:
    program = shutil.which("mvn")
    if program is None:
        pytest.skip("Maven is not installed")
    return MavenFetcher(Path(program), find_java(os.environ))


@pytest.mark.parametrize("choose", [_maven, lambda: fetch_with_jgo], ids=["maven", "jgo"])
def test_the_locked_files_arrive(tmp_path: Path, choose: Callable[[], Fetcher]) -> None:
    jars, repository = tmp_path / "jars", tmp_path / "repository"
    jars.mkdir()
    repository.mkdir()
    arrived: set[str] = set()
    choose()(jars, repository, trust_local=False, on_jar=arrived.add)
    lock = JarLock.read()
    assert lock.differences(jars) == []
    assert lock.digests.keys() <= arrived
