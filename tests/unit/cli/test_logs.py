"""Logs: one record, one line; never a secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from routefold.logs import MASK, configure, mask_text


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_json_records_of_both_kinds_of_loggers(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    structlog.get_logger("ours").info("folded", partition=3)
    logging.getLogger("theirs").warning("rate %d", 7)
    ours, theirs = map(json.loads, capsys.readouterr().err.splitlines())
    assert (ours["event"], ours["partition"], ours["logger"]) == ("folded", 3, "ours")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("rate 7", "warning", "theirs")


def test_the_level_holds(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "console")
    structlog.get_logger("ours").info("quiet")
    logging.getLogger("theirs").info("quiet")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("style", ["json", "console"])
def test_secrets_are_masked(capsys: pytest.CaptureFixture[str], style: str) -> None:
    configure("info", "json" if style == "json" else "console")
    log = structlog.get_logger("ours")
    log.info("x", turn_token="t0p", token_keys="t0p", postgres_dsn="t0p", messages=["t0p"])
    log.info("connect postgresql://user:t0p@host/db", where="postgresql://user:t0p@host/db")
    try:
        raise ValueError("postgresql://user:t0p@host/db password=t0p")
    except ValueError:
        log.exception("failed")
    written = capsys.readouterr().err
    assert "failed" in written
    assert "ValueError" in written
    assert "t0p" not in written


def test_counts_of_tokens_are_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    structlog.get_logger("ours").info("x", tokens_in=12, key="k")
    assert json.loads(capsys.readouterr().err)["tokens_in"] == 12


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://u:pw@h/db", f"postgresql://u:{MASK}@h/db"),
        ("host=h password=pw user=u", f"host=h password={MASK} user=u"),
        ("host=h password='p w' user=u", f"host=h password={MASK} user=u"),
        ("http://host:8080/path", "http://host:8080/path"),
    ],
)
def test_passwords_in_texts(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_a_coordinator_that_is_still_being_made_is_no_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("info", "console")
    coordinator = logging.getLogger("aiokafka.consumer.group_coordinator")
    coordinator.error("Request failed: %s", "[Error 15] GroupCoordinatorNotAvailableError")
    assert capsys.readouterr().err == ""
    coordinator.error("Request failed: %s", "[Error 30] GroupAuthorizationFailedError")
    assert "GroupAuthorizationFailedError" in capsys.readouterr().err
