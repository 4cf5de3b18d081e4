"""`routefold up`: it starts, serves, stops in time, leaves nothing behind, and forgets nothing."""

from __future__ import annotations

import json
import signal
import stat
import time
import urllib.request
from typing import Any

import pytest

from tests.e2e.program import Shell, Up

pytestmark = pytest.mark.e2e

ROUTERS = """
router: chat
request_types: [writing, general]
arms:
  - {name: large, tier: 3, price: {usd_per_1m_in: 2.0, usd_per_1m_out: 8.0}}
  - {name: small, tier: 2, price: {usd_per_1m_in: 0.4, usd_per_1m_out: 1.6}}
"""


def call(up: Up, path: str, body: object | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(up.url + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def settled_state(up: Up, folded: int) -> Any:
    """The state of the router once `folded` events are in it."""
    deadline = time.monotonic() + 30
    while True:
        state = call(up, "/v1/routers/chat/state")
        if state["events"]["folded"] >= folded or time.monotonic() > deadline:
            return state
        time.sleep(0.1)


def test_first_pick_stop_and_second_start(shell: Shell) -> None:
    up = shell.up()
    assert shell.run("apply", "-", stdin=ROUTERS).out == "chat: now version 1\n"
    again = shell.run("apply", "-", "--json", stdin=ROUTERS).document
    assert again["routers"] == [{"router": "chat", "version": 1, "changed": False}]

    pick = call(up, "/v1/routers/chat/picks", {"session_id": "s", "request_type": "writing"})
    assert pick["arm"] in ("large", "small")
    assert 0 < pick["probability"] <= 1
    outcome = {
        "turn_token": pick["turn_token"],
        "completion": {"status": "ok", "latency_ms": 900},
        "scores": {"quality": 1.0},
    }
    assert call(up, "/v1/outcomes", outcome)["accepted"] == 1
    state = settled_state(up, folded=2)
    assert state["events"] == {"folded": 2, "duplicates": 0, "late": 0, "dead": 0}

    table = shell.run("state", "chat").out
    assert "2 folded, 0 duplicates, 0 late, 0 dead" in table
    assert "writing" in table
    assert "chat" in shell.run("state").out

    state_dir = shell.directory / ".routefold"
    assert stat.S_IMODE((state_dir / "token.keys").stat().st_mode) == 0o600
    assert up.stop(signal.SIGINT) == 0
    assert up.survivors() == []
    assert not (state_dir / "endpoints.json").exists()
    assert "routefold up" in shell.run("state").err

    second = shell.up()
    assert settled_state(second, folded=2)["state_digest"] == state["state_digest"]
    assert call(second, "/v1/outcomes", outcome)["accepted"] == 1  # the old token is still good
    assert second.stop(signal.SIGTERM) == 0
    assert second.survivors() == []


def test_nothing_survives_a_kill(shell: Shell) -> None:
    up = shell.up()
    assert len(up.family) >= 4  # Kafka, Postgres, the consumer, the API
    up.process.kill()
    up.process.wait()
    assert up.survivors() == []


def test_a_child_that_dies_stops_everything(shell: Shell) -> None:
    up = shell.up()
    (consumer,) = (child for child in up.family if "consume" in child.cmdline())
    consumer.kill()
    assert up.process.wait(15) == 1
    assert up.survivors() == []
    said = shell.up_errors.read_text()
    assert "`routefold consume` was killed by SIGKILL" in said
    assert "Traceback" not in said
