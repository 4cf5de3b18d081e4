"""Commands beside a running `routefold up`: they find it without flags."""

from __future__ import annotations

import pytest

from tests.e2e.program import Shell, Up
from tests.e2e.recorded import write_log

pytestmark = pytest.mark.e2e

TURNS = 600


@pytest.mark.parametrize("where", [[], ["--in-process"]], ids=["over HTTP", "in process"])
def test_play(shared: tuple[Shell, Up], where: list[str]) -> None:
    shell, _ = shared
    log = write_log(shell.directory)
    played = shell.run("play", str(log), "--turns", str(TURNS), "--json", "-", *where)
    assert played.code == 0, played.err
    report = played.document
    assert report["turns"] == TURNS
    assert report["events"]["accepted"] == report["events"]["folded"] == 2 * TURNS
    assert report["reward"]["mean"] > report["reward"]["uniform"]


def test_play_on_a_configured_router(shared: tuple[Shell, Up]) -> None:
    shell, _ = shared
    log = write_log(shell.directory)
    config = shell.directory / "router.yaml"
    config.write_text("router: mine\nrequest_types: [writing, general]\narms: [{name: a}]\n")
    assert shell.run("play", str(log), "--turns", "50", "--config", str(config)).code == 0
    assert "mine" in shell.run("state").out
    dry = shell.run("apply", str(config), "--dry-run")
    assert dry.out == "mine: unchanged, version 1\n"
    config.write_text("router: mine\narms: [{name: b}]\n")
    assert shell.run("apply", str(config), "--dry-run").out == "mine: would become version 2\n"


def test_wrong_input(shared: tuple[Shell, Up]) -> None:
    shell, _ = shared
    log = write_log(shell.directory)
    unknown = shell.run("state", "nobody")
    assert unknown.code == 1
    assert "nobody" in unknown.err
    assert len(unknown.err.splitlines()) == 1
    strange = shell.run("play", str(log), "--router", "nobody")
    assert strange.code == 1
    assert "nobody" in strange.err


def test_a_second_up_on_the_same_directory_is_refused(shared: tuple[Shell, Up]) -> None:
    shell, up = shared
    refused = shell.run("up", "--port", "0")
    assert refused.code == 1
    assert str(up.process.pid) in refused.err
    assert shell.run("state").code == 0
