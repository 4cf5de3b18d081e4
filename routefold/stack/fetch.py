"""Fetches the jars that pom.xml names: with Maven if it is installed, else with jgo's resolver.

Both give the same files (jars.lock is checked afterwards). Maven goes first because it knows the
user's mirrors, proxies and credentials.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from routefold.stack.errors import DownloadFailed

POM = Path(__file__).with_name("pom.xml")
_REMEDY = (
    "Connect this machine to the network for the first start, or set ROUTEFOLD_CACHE_DIR to a "
    "cache that was filled on another one."
)
_ERROR_LIMIT = 300
_CONNECT_TIMEOUT_S, _ANSWER_TIMEOUT_S = 10, 60
_PARALLEL_DOWNLOADS = 6

OnJar = Callable[[str], None]


class Fetcher(Protocol):
    """Puts every jar into `target`.

    `repository` is an empty directory for the fetcher's own use. With `trust_local` false, nothing
    that an earlier download left on this machine may be used. `on_jar` is called with the name of
    each file that was downloaded. Raises DownloadFailed.
    """

    def __call__(
        self, target: Path, repository: Path, *, trust_local: bool, on_jar: OnJar
    ) -> None: ...


def choose_fetcher(java: Path) -> Fetcher:
    """Maven (run by `java` if it would find no other), or jgo. Raises DownloadFailed."""
    maven = shutil.which("mvn")
    if maven is not None:
        return MavenFetcher(Path(maven), java)
    try:
        import jgo.maven  # noqa: F401 - only whether it is there
    except ImportError:
        raise DownloadFailed(
            "Kafka's jars can't be fetched: neither Maven (mvn) nor jgo is installed. "
            "Install the `local` extra."
        ) from None
    return fetch_with_jgo


class MavenFetcher:
    """`mvn dependency:copy-dependencies`."""

    def __init__(self, maven: Path, java: Path) -> None:
        self._maven = maven
        self._java = java

    def __call__(self, target: Path, repository: Path, *, trust_local: bool, on_jar: OnJar) -> None:
        last_lines: deque[str] = deque(maxlen=40)
        try:
            process = self._start(target, None if trust_local else repository)
        except OSError as error:
            raise _failed(f"{self._maven}: {error}") from error
        with process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    last_lines.append(line)
                    if jar := re.search(r"Downloaded from \S+ \S+/(\S+\.jar) ", line):
                        on_jar(jar[1])
            except BaseException:
                process.kill()
                raise
        if process.returncode != 0:
            errors = [line for line in last_lines if line.startswith("[ERROR]")]
            raise _failed((errors or [*last_lines] or ["mvn gave no output"])[0])

    def _start(self, target: Path, repository: Path | None) -> subprocess.Popen[str]:
        command = [
            str(self._maven),
            "--batch-mode",
            "--strict-checksums",
            f"--file={POM}",
            # Its version is in the pom. By full name: a prefix is looked up on the network first.
            "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies",
            f"-DoutputDirectory={target}",
            f"-Daether.connector.connectTimeout={_CONNECT_TIMEOUT_S * 1000}",
            f"-Daether.connector.requestTimeout={_ANSWER_TIMEOUT_S * 1000}",
            *([f"-Dmaven.repo.local={repository}"] if repository else []),
        ]
        environment = dict(os.environ)
        if "JAVA_HOME" not in environment and shutil.which("java") is None:
            environment["JAVA_HOME"] = str(self._java.parent.parent)
        return subprocess.Popen(  # noqa: S603 - Maven with our own arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
        )


def fetch_with_jgo(
    target: Path,
    repository: Path,
    *,
    trust_local: bool,  # noqa: ARG001 - it never does
    on_jar: OnJar,
) -> None:
    """jgo's resolver in pure Python. It never uses ~/.m2, where its writes are not atomic.

    Only the resolver is used. The part of jgo that looks for Java, and may download one, is never
    called: the broker runs on what `find_java` found.
    """
    from jgo.maven import POM as MavenPom  # noqa: N811 - an acronym of theirs, a path of ours
    from jgo.maven import MavenContext, PythonResolver

    @contextmanager
    def progress(file_name: str, _size_bytes: int) -> Iterator[Callable[[int], None]]:
        yield lambda _chunk_bytes: None
        if file_name.endswith(".jar"):
            on_jar(file_name)

    context = MavenContext(
        PythonResolver(progress_callback=progress),
        repo_cache=repository,
        timeout=_ANSWER_TIMEOUT_S,
    )
    try:
        _, nodes = context.pom_dependency_list(MavenPom(POM))
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            jars = list(pool.map(lambda node: node.dep.artifact.resolve(), nodes))
    except Exception as error:  # jgo lets through what requests, its XML parser and the disk raise
        raise _failed(str(_root_cause(error))) from error
    for jar in jars:
        shutil.copyfile(jar, target / jar.name)


def _root_cause(error: BaseException) -> BaseException:
    """The first error of a chain: what the network said, below what each library made of it."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


def _failed(detail: str) -> DownloadFailed:
    words = " ".join(detail.removeprefix("[ERROR]").partition(" -> [Help")[0].split())
    # Maven names all that it wanted, one after the other, and then what went wrong.
    cause = ": ".join(words.split(": ")[-2:])[-_ERROR_LIMIT:]
    return DownloadFailed(f"Kafka's jars could not be downloaded ({cause}). {_REMEDY}")
