"""`routefold promote`, `rollback` and `generations` as processes, on real servers."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from schemas.topics import Topics
from tests.factories import config, configured, traffic
from tests.fixtures.pipeline import consuming, eventually, folded, publish
from tests.fixtures.servers import Servers

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]  # eight programs, one by one

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(stack: Servers, topics: Topics, database: str, tmp_path: Path) -> Run:
    """`await run("promote", "x")`: exit code, standard output and standard error."""
    environment = {
        **os.environ,
        "ROUTEFOLD_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "ROUTEFOLD_POSTGRES_DSN": database,
        "ROUTEFOLD_TOPIC_PREFIX": topics.prefix,
    }

    async def call(*arguments: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-P", "-m", "routefold", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=tmp_path,
            env=environment,
        )
        return done.returncode, done.stdout, done.stderr

    return call


async def test_there_and_back(run: Run, stack: Servers, topics: Topics, database: str) -> None:
    servers = stack.bootstrap_servers
    await publish(servers, topics, [configured(config()), *traffic(40, random.Random(1))])
    code, _, said = await run("promote", "nobody")
    assert code == 2
    assert said == "routefold: there is no rebuild 'nobody'; there are: none\n"
    code, _, said = await run("rollback")
    assert (code, "nothing to roll back to" in said) == (2, True)
    async with consuming(servers, database, topics):
        await eventually(lambda: folded(database) >= 80)
        code, _, said = await run("rebuild", "--into", "clean", "--exclude-source", "importer")
        assert code == 0, said
        code, out, said = await run("promote", "clean", "--json", "-")
        assert code == 0, said
        promoted = json.loads(out)
        assert promoted["generation"] == 1
        assert promoted["name"] == "clean"
        assert promoted["consumer_follows"] is True
        code, out, _ = await run("rebuild", "--list", "--json", "-")
        assert [each["live"] for each in json.loads(out)["rebuilds"]] == [True]
        code, out, said = await run("rollback")
        assert code == 0, said
        assert out.startswith("original: live, as generation 2; before it was clean\n")
    code, out, _ = await run("generations")
    assert code == 0
    assert "exclude_sources: ['importer']" in out
    assert [line.split()[:3] for line in out.splitlines()[3:]] == [["2", "live", "original"]]
