"""Settings: where each value comes from, and that no secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from routefold.errors import Misuse
from routefold.settings import load_settings, parse_keys

KEY = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


def test_environment_is_read_and_an_option_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTEFOLD_PORT", "9000")
    monkeypatch.setenv("ROUTEFOLD_TOPIC_PREFIX", "eu")
    assert load_settings().port == 9000
    assert load_settings(port=0).port == 0
    assert load_settings().topics.events == "eu.events"
    assert load_settings().consumer_group == "eu-consumer"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTEFOLD_PORT", "")
    monkeypatch.setenv("ROUTEFOLD_POSTGRES_DSN", "")
    assert load_settings().port == 8080
    assert load_settings().find_postgres_dsn() is None


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "70000"),
        ("PORT", "eighty"),
        ("EVENT_PARTITIONS", "0"),
        ("LOG_FORMAT", "xml"),
        ("TOPIC_PREFIX", "no spaces"),
        ("URL", "localhost:8080"),
    ],
)
def test_a_wrong_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(f"ROUTEFOLD_{variable}", value)
    with pytest.raises(Misuse, match=f"ROUTEFOLD_{variable}"):
        load_settings()


def test_a_wrong_option_is_named_as_the_option() -> None:
    with pytest.raises(Misuse, match="--url"):
        load_settings(url="localhost")


@pytest.mark.parametrize("text", [f"{KEY},{OTHER}", f"{KEY}\n{OTHER}\n", f" {KEY} , \n {OTHER}"])
def test_keys_are_separated_by_commas_or_lines_newest_first(text: str) -> None:
    assert parse_keys(text, "X") == (KEY, OTHER)


@pytest.mark.parametrize("text", ["", " , \n"])
def test_no_key_is_misuse(text: str) -> None:
    with pytest.raises(Misuse, match="holds no key"):
        parse_keys(text, "X")


def test_a_short_key_is_refused_without_being_shown() -> None:
    with pytest.raises(Misuse, match="key 2 has 6 characters") as caught:
        parse_keys(f"{KEY},secret", "X")
    assert "secret" not in str(caught.value)


def test_keys_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(KEY + "\n")
    monkeypatch.setenv("ROUTEFOLD_TOKEN_KEYS_FILE", str(file))
    assert load_settings().need_token_keys() == (KEY,)


def test_missing_settings_say_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings()
    with pytest.raises(Misuse, match="ROUTEFOLD_BOOTSTRAP_SERVERS"):
        settings.need_bootstrap_servers()
    with pytest.raises(Misuse, match="ROUTEFOLD_POSTGRES_DSN"):
        settings.need_postgres_dsn()
    with pytest.raises(Misuse, match="ROUTEFOLD_TOKEN_KEYS_FILE"):
        settings.need_token_keys()
    monkeypatch.setenv("ROUTEFOLD_TOKEN_KEYS_FILE", "absent.keys")
    with pytest.raises(Misuse, match=r"absent\.keys can't be read: No such file"):
        load_settings().need_token_keys()


def test_secrets_are_not_in_the_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTEFOLD_TOKEN_KEYS", KEY)
    monkeypatch.setenv("ROUTEFOLD_POSTGRES_DSN", "postgresql://u:hunter2@h/db")
    shown = f"{load_settings()!r} {load_settings()!s} {load_settings().model_dump_json()}"
    assert KEY not in shown
    assert "hunter2" not in shown
