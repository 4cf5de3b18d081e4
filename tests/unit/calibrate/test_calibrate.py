"""`routefold calibrate` on small files: what it says, and what it refuses."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from routefold.calibrate.conversations import read_conversations
from routefold.cli import app
from routefold.errors import Misuse
from schemas.router_config import RouterConfig

CALL = {"type": "function", "function": {"name": "sh", "arguments": '{"command": "make"}'}}


def conversation(success: int, task: str, loops: bool) -> dict[str, Any]:
    """Four turns of tool calls; where it loops the same call is made again and again."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Make the build pass."}]
    for number in range(4):
        made = (
            CALL if loops else {**CALL, "function": {"name": f"step_{number}", "arguments": "{}"}}
        )
        output = "error: no rule to make target" if loops else f"compiled module {number} of 4"
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [{**made, "id": f"c{number}"}]},
            {"role": "tool", "tool_call_id": f"c{number}", "content": output},
        ]
    messages.append({"role": "assistant", "content": "Done."})
    return {"messages": messages, "success": success, "src": "unit", "task": task}


def write(path: Path, rows: list[Any]) -> Path:
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Looping mostly fails: 30 conversations of each kind."""
    rows = [
        conversation(int(loops == (number % 10 == 0)), f"t{number}{loops}", loops)
        for number in range(30)
        for loops in (False, True)
    ]
    return write(tmp_path / "conversations.jsonl.gz", rows)


def test_loops_that_fail_get_a_weight(labelled: Path) -> None:
    done = CliRunner().invoke(app, ["calibrate", str(labelled), "--resamples", "5", "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    found = {signal["signal"]: signal for signal in document["signals"]}
    assert document["conversations"] == 60
    assert found["loop"]["conversations"] == 30
    assert found["loop"]["success_with"] < 0.2 < 0.8 < found["loop"]["success_without"]
    negative = sum(document["rewards"][s] for s in ("loop", "retry", "no_progress", "failure"))
    assert negative > 0.3
    assert document["area_cross_validated"]["unit"] > 0.7


def test_the_configuration_it_prints_can_be_applied(labelled: Path) -> None:
    done = CliRunner().invoke(app, ["calibrate", str(labelled), "--resamples", "5"])
    assert done.exit_code == 0, done.output
    part = yaml.safe_load(done.stdout[done.stdout.index("rewards:") :])
    RouterConfig.model_validate({"router": "chat", "arms": [{"name": "a"}], **part})


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{", ":2: not JSON"),
        ("[]", ":2: each line must be one JSON object"),
        ({"success": 1}, '"messages" must be a list'),
        ({"messages": [], "success": "yes"}, "\"success\" must be 0 or 1, got 'yes'"),
        ({"messages": [], "success": 0.5}, '"success" must be 0 or 1'),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: Any, says: str) -> None:
    path = write(tmp_path / "bad.jsonl", [conversation(1, "t", False), row])
    with pytest.raises(Misuse) as caught:
        list(read_conversations(path))
    assert says in str(caught.value)


def test_a_file_that_is_not_there_or_cut_off(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="can't be read"):
        list(read_conversations(tmp_path / "missing"))
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(json.dumps(conversation(1, "t", False)).encode())[:-12])
    with pytest.raises(Misuse, match="can't be read"):
        list(read_conversations(cut))
