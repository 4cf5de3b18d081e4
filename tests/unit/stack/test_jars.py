"""Jars are the locked ones or the broker doesn't start, and a first download can't be torn."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from routefold.stack.errors import DownloadFailed, JarsChanged
from routefold.stack.fetch import Fetcher, OnJar
from routefold.stack.jars import JarLock, cache_dir, ensure_jars

CONTENTS = {"a-1.jar": b"first" * 1000, "b-2.jar": b"second" * 1000}


def _write(target: Path, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        (target / name).write_bytes(content)


class Source:
    """A fetcher that gives, attempt by attempt, what it is told; the last one for ever."""

    def __init__(self, *attempts: dict[str, bytes]) -> None:
        self._attempts = attempts
        self.trust_local: list[bool] = []

    def __call__(
        self,
        target: Path,
        repository: Path,  # noqa: ARG002 - has nothing to keep there
        *,
        trust_local: bool,
        on_jar: OnJar,
    ) -> None:
        attempt = min(len(self.trust_local), len(self._attempts) - 1)
        self.trust_local.append(trust_local)
        _write(target, self._attempts[attempt])
        for name in self._attempts[attempt]:
            on_jar(name)

    def choose(self) -> Fetcher:
        return self


@pytest.fixture
def lock(tmp_path: Path) -> JarLock:
    file = tmp_path / "jars.lock"
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in CONTENTS.items()]
    file.write_text("# comment\n" + "\n".join(lines) + "\n")
    return JarLock.read(file)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def home(lock: JarLock, cache: Path) -> Path:
    """The directory of jars, already fetched."""
    ensure_jars(lock, cache, Source(CONTENTS).choose)
    return cache / lock.directory_name


def no_fetch() -> Fetcher:
    raise AssertionError("nothing may be downloaded now")


def test_first_use_downloads_and_later_uses_do_not(lock: JarLock, cache: Path) -> None:
    paths = ensure_jars(lock, cache, Source(CONTENTS).choose)
    assert [path.name for path in paths] == ["a-1.jar", "b-2.jar"]
    assert [path.read_bytes() for path in paths] == list(CONTENTS.values())
    assert ensure_jars(lock, cache, no_fetch) == paths
    assert not list(cache.glob("*.partial-*"))


def test_a_tampered_jar_is_found(lock: JarLock, cache: Path, home: Path) -> None:
    jar = home / "a-1.jar"
    before = jar.stat()
    jar.write_bytes(b"evil!" * 1000)  # same length
    os.utime(jar, ns=(before.st_atime_ns, before.st_mtime_ns))  # same time
    with pytest.raises(JarsChanged, match=r"a-1\.jar has another SHA-256.*Delete .*" + home.name):
        ensure_jars(lock, cache, no_fetch)


def test_a_truncated_jar_is_found(lock: JarLock, cache: Path, home: Path) -> None:
    (home / "b-2.jar").write_bytes(CONTENTS["b-2.jar"][:-1])
    with pytest.raises(JarsChanged, match=r"b-2\.jar"):
        ensure_jars(lock, cache, no_fetch)


def test_an_extra_jar_is_found(lock: JarLock, cache: Path, home: Path) -> None:
    (home / "stowaway.jar").write_bytes(b"")
    with pytest.raises(JarsChanged, match=r"stowaway\.jar is not in jars\.lock"):
        ensure_jars(lock, cache, no_fetch)


def test_a_deleted_jar_is_fetched_again(lock: JarLock, cache: Path, home: Path) -> None:
    (home / "a-1.jar").unlink()
    ensure_jars(lock, cache, Source(CONTENTS).choose)
    assert not lock.differences(home)


def test_a_truncated_download_is_fetched_again_without_local_copies(
    lock: JarLock, cache: Path
) -> None:
    source = Source({**CONTENTS, "a-1.jar": b"first"}, CONTENTS)
    ensure_jars(lock, cache, source.choose)
    assert source.trust_local == [True, False]


def test_a_download_that_stays_wrong_leaves_nothing_behind(lock: JarLock, cache: Path) -> None:
    source = Source({**CONTENTS, "a-1.jar": b"other"})
    with pytest.raises(DownloadFailed, match=r"not what jars\.lock names \(a-1\.jar"):
        ensure_jars(lock, cache, source.choose)
    assert len(source.trust_local) == 2
    assert [entry.name for entry in cache.iterdir()] == [f"{lock.directory_name}.lock"]


def test_what_a_killed_download_left_is_cleared(lock: JarLock, cache: Path) -> None:
    leftover = cache / f"{lock.directory_name}.partial-dead"
    leftover.mkdir(parents=True)
    (leftover / "half.jar").touch()
    ensure_jars(lock, cache, Source(CONTENTS).choose)
    assert not leftover.exists()


def test_another_lock_file_uses_another_directory(lock: JarLock, tmp_path: Path) -> None:
    other = tmp_path / "other.lock"
    other.write_text(f"{'0' * 64}  a-1.jar\n")
    assert JarLock.read(other).directory_name != lock.directory_name


def test_a_cache_that_cannot_be_written_is_one_clear_error(lock: JarLock, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    with pytest.raises(DownloadFailed, match="ROUTEFOLD_CACHE_DIR"):
        ensure_jars(lock, in_the_way / "cache", Source(CONTENTS).choose)


class _SlowSource(Source):
    """Counts its calls in a file, because each caller is a process of its own."""

    def __init__(self, calls: Path) -> None:
        super().__init__(CONTENTS)
        self._calls = calls

    def __call__(self, target: Path, repository: Path, *, trust_local: bool, on_jar: OnJar) -> None:
        with self._calls.open("a") as file:
            file.write("x")
        time.sleep(0.3)
        super().__call__(target, repository, trust_local=trust_local, on_jar=on_jar)


def _ensure(lock: JarLock, cache: Path, calls: Path) -> None:
    ensure_jars(lock, cache, _SlowSource(calls).choose)


def test_processes_that_start_at_once_download_once(
    lock: JarLock, cache: Path, tmp_path: Path
) -> None:
    calls = tmp_path / "calls"
    context = multiprocessing.get_context("forkserver")
    racers = [context.Process(target=_ensure, args=(lock, cache, calls)) for _ in range(3)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(60)
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    assert calls.read_text() == "x"
    assert not lock.differences(cache / lock.directory_name)


def test_progress_off_a_terminal_is_two_plain_lines(lock: JarLock, cache: Path) -> None:
    output = io.StringIO()
    ensure_jars(lock, cache, Source(CONTENTS).choose, Console(file=output, width=200))
    first, second = output.getvalue().splitlines()
    assert first.startswith("Downloading Kafka")
    assert "2 files" in first
    assert second.startswith("Downloaded in")


def test_progress_on_a_terminal_counts_files(lock: JarLock, cache: Path) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100)
    ensure_jars(lock, cache, Source(CONTENTS).choose, console)
    assert "2/2" in output.getvalue()


@pytest.mark.parametrize(
    ("environ", "check"),
    [
        ({"ROUTEFOLD_CACHE_DIR": "somewhere"}, lambda path: path == Path("somewhere").absolute()),
        ({}, lambda path: path.name == "routefold"),
    ],
)
def test_where_the_cache_is(environ: dict[str, str], check: Callable[[Path], bool]) -> None:
    assert check(cache_dir(environ))


def test_the_committed_lock_is_well_formed() -> None:
    digests = JarLock.read().digests
    assert len(digests) > 30
    assert all(name.endswith(".jar") and "/" not in name for name in digests)
    assert all(len(digest) == 64 and int(digest, 16) for digest in digests.values())
