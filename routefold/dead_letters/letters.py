"""A dead letter: a record that could not be folded, why, and what was done about it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from consumer import cells, decode, facts, observations, writer
from routefold.errors import Misuse
from schemas.codec import Event
from schemas.codec import decode as decode_event
from schemas.errors import ContractError


class LetterId(NamedTuple):
    """Where in the events topic the record is; written `partition:offset`."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises Misuse."""
        if not re.fullmatch(r"\d{1,9}:\d{1,18}", text):
            raise Misuse(f"{text!r} is no dead letter's ID: write PARTITION:OFFSET, like 2:345")
        partition, _, offset = text.partition(":")
        return cls(int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One dead letter."""

    id: LetterId
    log_time_ms: int
    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    redriven_at: datetime | None
    redriven_to: LetterId | None  # offset -1: the broker no longer knew where
    reason_again: str | None  # why its new record is a dead letter, too
    folded_to: int | None  # next offset to fold in the partition of its new record
    redriven_from: LetterId | None  # the letter that this one is the new record of

    @property
    def fate(self) -> str:
        """What became of it, in a word or two."""
        if self.redriven_to is None:
            return "open"
        if self.reason_again is not None:
            return f"dead again as {self.redriven_to}: {self.reason_again}"
        if self.redriven_to.offset < 0:
            return "redriven"
        if self.folded_to is None or self.folded_to <= self.redriven_to.offset:
            return f"waits to be folded at {self.redriven_to}"
        return f"folded at {self.redriven_to}"

    def event(self) -> Event | None:
        """The event in it; None where it can't be decoded."""
        try:
            return decode_event(self.value or b"")
        except ContractError:
            return None


def known_reasons() -> frozenset[str]:
    """Every reason that this version gives."""
    return frozenset(
        value
        for module in (cells, decode, facts, observations, writer)
        for name, value in vars(module).items()
        if name.startswith("REASON_")
    )
