"""`routefold export` and `routefold dead-letters` as processes, on real servers."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import Topics
from tests.factories import config, configured, traffic
from tests.fixtures.pipeline import consuming, eventually, folded, publish
from tests.fixtures.servers import Servers

pytestmark = pytest.mark.integration


class Program:
    """The command line beside these servers."""

    def __init__(self, stack: Servers, topics: Topics, database: str, directory: Path) -> None:
        self._directory = directory
        self._environment = {
            **os.environ,
            "ROUTEFOLD_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "ROUTEFOLD_POSTGRES_DSN": database,
            "ROUTEFOLD_TOPIC_PREFIX": topics.prefix,
        }

    async def run(self, *arguments: str, code: int = 0) -> str:
        """What it prints."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-P", "-m", "routefold", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=self._directory,
            env=self._environment,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if code != 2 else done.stderr

    async def json(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(await self.run(*arguments, "--json", "-", code=code))


@pytest.fixture
def program(stack: Servers, topics: Topics, database: str, tmp_path: Path) -> Program:
    return Program(stack, topics, database, tmp_path)


async def test_from_dead_letter_to_evidence(
    program: Program, stack: Servers, topics: Topics, database: str
) -> None:
    servers = stack.bootstrap_servers
    assert await program.run("dead-letters", "list") == "no dead letters\n"
    await publish(servers, topics, traffic(4, random.Random(1)))
    async with consuming(servers, database, topics):
        await eventually(lambda: folded(database) >= 8)
        listed = await program.json("dead-letters", "list", "--limit", "3")
        assert listed["reasons"]["unknown_router"]["open"] == 8
        assert len(listed["letters"]) == 3
        first = listed["letters"][0]["id"]
        assert first in await program.run("dead-letters", "list")
        shown = await program.json("dead-letters", "show", first)
        assert shown["event"]["router"] == "r"
        assert "has not been configured" in await program.run("dead-letters", "show", first)

        await publish(servers, topics, [configured(config())])
        dry = await program.run("dead-letters", "redrive", "--all", "--dry-run")
        assert dry == "would publish 8 dead letters\n"
        await program.run("dead-letters", "redrive", first)
        refused = await program.json("dead-letters", "redrive", first, code=1)
        assert "--again" in refused["refused"][first]
        rest = await program.json("dead-letters", "redrive", "--reason", "unknown_router")
        assert len(rest["redriven"]) == 7
        await eventually(lambda: folded(database) >= 8 + 8)
        listed = await program.json("dead-letters", "list")
        assert listed["reasons"]["unknown_router"]["open"] == 0
        assert all(letter["fate"].startswith("folded at") for letter in listed["letters"])

    unknown = await program.run("dead-letters", "redrive", "9:9", code=2)
    assert "9:9" in unknown
    assert "no reason" in await program.run("dead-letters", "list", "--reason", "x", code=2)


async def test_export(
    program: Program, stack: Servers, topics: Topics, database: str, tmp_path: Path
) -> None:
    events = [configured(config()), *traffic(50, random.Random(1))]
    await publish(stack.bootstrap_servers, topics, events)
    said = await program.run("export", "--format", "parquet", "--out", "archive")
    assert said.startswith("archive: 104 new records; rows written: 50 turns, 50 outcomes")
    assert await program.run("export", "--out", "archive") == "archive: nothing new\n"
    assert (tmp_path / "archive" / "manifest.json").exists()
    document = await program.json("export", "--out", "other", "--until", "0:0,1:0,2:0")
    assert document["archive"]["ranges"]["0"] == [0, 0]
    async with consuming(stack.bootstrap_servers, database, topics):
        await eventually(lambda: folded(database) >= 100)
    rebuilt = await program.json("rebuild", "--into", "check", "--archive", "archive")
    assert rebuilt["events"] == 104
    assert "all: equal" in await program.run("verify", "check", "--archive", "archive")
    assert "all: equal" in await program.run("verify", "--archive", "archive")
    for command in (("rebuild", "--into", "x"), ("verify",)):
        said = await program.run(*command, "--archive", "nowhere", code=2)
        assert "there is no directory nowhere" in said
    assert document["records"] == document["archive"]["ranges"]["3"][1]
