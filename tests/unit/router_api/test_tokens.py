"""Turn tokens: read back what was issued, and nothing else."""

from __future__ import annotations

import random
import re
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router_api.errors import BadToken
from router_api.tokens import MAX_TOKEN_CHARS, TurnAddress, TurnTokens
from tests.factories import T0, uuid7

OLD, NEW, FOREIGN = "o" * 64, "n" * 64, "f" * 64
names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)
addresses = st.builds(
    TurnAddress,
    turn_id=st.randoms(use_true_random=False).map(lambda rng: uuid7(T0, rng)),
    session_id=st.none()
    | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256),
    router=names,
    request_type=names,
    arm=names,
)


def address(**fields: str | None) -> TurnAddress:
    base = {"session_id": "s-1", "router": "chat", "request_type": "writing", "arm": "vendor/model"}
    return TurnAddress(uuid7(T0, random.Random(1)), **{**base, **fields})  # type: ignore[arg-type]


@given(addresses)
def test_reads_back_what_was_issued(issued: TurnAddress) -> None:
    tokens = TurnTokens([NEW])
    token = tokens.issue(issued)
    assert tokens.read(token) == issued
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", token)
    assert len(token) <= MAX_TOKEN_CHARS


def test_session_is_told_from_no_session() -> None:
    tokens = TurnTokens([NEW])
    assert tokens.read(tokens.issue(address(session_id=None))).session_id is None


def test_keys_rotate() -> None:
    issued_before = TurnTokens([OLD]).issue(address())
    rotated = TurnTokens([NEW, OLD])

    assert rotated.read(issued_before) == address()
    assert TurnTokens([NEW]).read(rotated.issue(address())) == address()
    with pytest.raises(BadToken):
        TurnTokens([NEW]).read(issued_before)


@given(st.text(max_size=300))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        TurnTokens([NEW]).read(text)


@given(st.data())
def test_changed_token_is_refused(data: st.DataObject) -> None:
    tokens = TurnTokens([NEW])
    token = tokens.issue(address())
    end_of_payload = token.index(".")
    # The last characters of a base64 part hold unused bits; all others count.
    position = data.draw(st.integers(0, end_of_payload - 1))
    other = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda c: c != token[position]))

    with pytest.raises(BadToken):
        tokens.read(token[:position] + other + token[position + 1 :])


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "a.b",
        "\ud800.x",
        "é.ü",
        "x" * 10**6,
        TurnTokens([FOREIGN]).issue(address()),
        TurnTokens([NEW]).issue(address()) + "x",
        TurnTokens([NEW]).issue(address()).partition(".")[0],
    ],
)
def test_forged_token_is_refused_without_being_quoted(token: str) -> None:
    with pytest.raises(BadToken) as caught:
        TurnTokens([NEW]).read(token)
    assert len(str(caught.value)) < 200
    assert len(token) < 3 or token not in str(caught.value)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x09" + uuid7(T0, random.Random(1)) + b"\x01r\x01t\x01a", id="other format"),
        pytest.param(b"\x01" + bytes(16) + b"\x01r\x01t\x01a", id="not a UUIDv7"),
        pytest.param(b"\x01" + uuid7(T0, random.Random(1)) + b"\x01r\x01t", id="a name is missing"),
        pytest.param(b"\x01" + uuid7(T0, random.Random(1)) + b"\x01r\x01t\x09a", id="cut short"),
        pytest.param(b"\x01" + uuid7(T0, random.Random(1)) + b"\x01r\x01t\x01ax", id="left over"),
        pytest.param(b"\x02" + uuid7(T0, random.Random(1)) + b"\x01r\x01t\x01a\xff", id="no UTF-8"),
    ],
)
def test_signed_but_unreadable_token_is_refused(payload: bytes) -> None:
    tokens = TurnTokens([NEW])
    signed = tokens._signer.sign(urlsafe_b64encode(payload).rstrip(b"=")).decode()
    with pytest.raises(BadToken):
        tokens.read(signed)


def test_weak_keys_are_refused_without_being_told() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        TurnTokens([])
    with pytest.raises(ValueError, match="key 2 has 9 characters") as caught:
        TurnTokens([NEW, "guess-me!"])
    assert "guess-me!" not in str(caught.value)


def test_what_no_turn_has_is_not_issued() -> None:
    tokens = TurnTokens([NEW])
    with pytest.raises(ValueError, match="16 bytes"):
        tokens.issue(TurnAddress(b"short", None, "r", "t", "a"))
    with pytest.raises(ValueError, match="range"):
        tokens.issue(address(arm="a" * 256))
