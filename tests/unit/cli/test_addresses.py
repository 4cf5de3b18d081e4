"""Addresses: what may be listened on, and how it is shown."""

from __future__ import annotations

import socket

import pytest
from pydantic import SecretStr

from routefold.database import without_password
from routefold.errors import Failure, Misuse
from routefold.exposure import exposure_warning
from routefold.installation import require_free


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_needs_no_warning(host: str) -> None:
    assert exposure_warning(host) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.3", "api.example"])
def test_other_addresses_are_warned_about(host: str) -> None:
    assert host in (exposure_warning(host) or "")


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(Failure, match="--port 0"):
            require_free("127.0.0.1", taken.getsockname()[1])
        free = taken.getsockname()[1]
    require_free("127.0.0.1", free)


def test_a_host_that_does_not_exist() -> None:
    with pytest.raises(Failure, match="can't listen on"):
        require_free("203.0.113.1", 8080)  # TEST-NET-3: nobody's


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://u:pw@h:1/db", "postgresql://u@h:1/db"),
        ("host=h user=u password=pw", "postgresql://u@h:5432/u"),
        ("postgresql://u:pw@h/db?sslmode=require", "postgresql://u@h:5432/db (sslmode=require)"),
    ],
)
def test_a_dsn_is_shown_without_its_password(dsn: str, shown: str) -> None:
    assert without_password(SecretStr(dsn)) == shown


def test_a_dsn_that_cannot_be_read_is_not_shown() -> None:
    with pytest.raises(Misuse) as caught:
        without_password(SecretStr("postgres//u:pw@h"))
    assert "pw" not in str(caught.value)
