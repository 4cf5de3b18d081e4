"""Turn tokens: what an outcome has to say about its turn, signed, so that nothing is looked up.

A pick hands out a token and keeps nothing; every replica with the keys can read it, at any time.
The signature (HMAC-SHA256, itsdangerous) keeps callers from reporting outcomes of turns that were
never picked. It hides nothing: whoever holds a token can read session, router and arm.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from itsdangerous import BadSignature, Signer

from router_api.errors import BadToken
from schemas.events import is_uuid7

# Below 128 bits of hexadecimal text a key can be guessed from one token, offline.
MIN_KEY_CHARS: Final = 32
# Names of the greatest length, and a session id of 256 characters of four bytes each, in base64.
MAX_TOKEN_CHARS: Final = 4096
_SALT: Final = b"routefold.turn"  # keeps signatures made with the same key for other ends apart
_TURN_ID_BYTES: Final = 16
# First byte: the format, and whether there is a session. A new format takes new numbers.
_WITHOUT_SESSION: Final = b"\x01"
_WITH_SESSION: Final = b"\x02"


@dataclass(frozen=True, slots=True)
class TurnAddress:
    """What identifies a turn, and what is needed to fold its outcomes alone."""

    turn_id: bytes
    session_id: str | None
    router: str
    request_type: str
    arm: str


class TurnTokens:
    """Issues and reads turn tokens. The first key signs, all of them verify.

    To rotate, put a new key in front on every replica that verifies first, and drop the old one
    when no turn that it signed can get an outcome any more (the attribution window).
    """

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys`: newest first, of at least 32 characters. Raises ValueError, without the keys."""
        if not keys:
            raise ValueError("turn tokens need at least one key")
        for position, key in enumerate(keys, start=1):
            if len(key) < MIN_KEY_CHARS:
                raise ValueError(
                    f"key {position} has {len(key)} characters, at least {MIN_KEY_CHARS} are "
                    "needed (make one with `openssl rand -hex 32`)"
                )
        # itsdangerous has them oldest first.
        self._signer = Signer(list(reversed(keys)), _SALT, digest_method=hashlib.sha256)

    def issue(self, address: TurnAddress) -> str:
        """The token of a turn: URL-safe, 120 characters and more, by the length of the names.

        Raises ValueError for what no turn has: an id that is not 16 bytes, a name above 255 bytes.
        """
        payload = urlsafe_b64encode(_pack(address)).rstrip(b"=")
        return self._signer.sign(payload).decode()

    def read(self, token: str) -> TurnAddress:
        """The address in a token. Raises BadToken for anything that `issue` has not returned."""
        if len(token) > MAX_TOKEN_CHARS:
            raise BadToken(f"a turn token has at most {MAX_TOKEN_CHARS} characters")
        try:
            payload = self._signer.unsign(token)
            return _unpack(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        except (BadSignature, UnicodeError):
            raise BadToken(
                "not a turn token of this installation: send the turn_token of a pick, unchanged"
            ) from None
        except ValueError:
            raise BadToken("the turn token has a format that this version does not read") from None


def _pack(address: TurnAddress) -> bytes:
    if len(address.turn_id) != _TURN_ID_BYTES:
        raise ValueError(f"a turn id has 16 bytes, got {len(address.turn_id)}")
    parts = [_WITHOUT_SESSION if address.session_id is None else _WITH_SESSION, address.turn_id]
    for name in (address.router, address.request_type, address.arm):
        raw = name.encode()
        parts += [bytes((len(raw),)), raw]
    if address.session_id is not None:
        parts.append(address.session_id.encode())
    return b"".join(parts)


def _unpack(raw: bytes) -> TurnAddress:
    """Inverse of `_pack`. Raises ValueError."""
    head, turn_id, rest = raw[:1], raw[1 : 1 + _TURN_ID_BYTES], raw[1 + _TURN_ID_BYTES :]
    if head not in (_WITH_SESSION, _WITHOUT_SESSION) or not is_uuid7(turn_id):
        raise ValueError
    names = []
    for _ in range(3):
        if not rest or len(rest) <= rest[0]:
            raise ValueError
        names.append(rest[1 : 1 + rest[0]].decode())
        rest = rest[1 + rest[0] :]
    if head == _WITHOUT_SESSION and rest:
        raise ValueError
    session_id = rest.decode() if head == _WITH_SESSION else None
    return TurnAddress(turn_id, session_id, *names)
