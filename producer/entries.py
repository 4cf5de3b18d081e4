"""What waits in the publisher's queue, and what waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from producer.batching import Message, to_message
from producer.delivery import Position
from producer.errors import ProducerError
from schemas.errors import ContractError
from schemas.events import Outcome, Turn

# Encoding costs about 15 µs an event; after half a millisecond the event loop may serve a pick.
ENCODE_SLICE: Final = 32


class Receipt:
    """What one call of publish() waits for: a position for each event, or the first error."""

    def __init__(self, count: int) -> None:
        self.future: asyncio.Future[list[Position | None]] = (
            asyncio.get_running_loop().create_future()
        )
        self._positions: list[Position | None] = [None] * count
        self._open = count

    def settle(self, index: int, position: Position | None) -> None:
        """One event is kept: by the broker at `position`, or by the spool."""
        self._positions[index] = position
        self._open -= 1
        if self._open == 0 and not self.future.done():
            self.future.set_result(self._positions)

    def fail(self, error: ProducerError) -> None:
        """The call fails; further answers do not matter."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True)
class Entry:
    """A queued event. `message` is None until it is encoded, `receipt` where nobody waits."""

    event: Turn | Outcome
    traceparent: str | None
    message: Message | None = None
    receipt: Receipt | None = None
    index: int = 0  # within the receipt

    def encode(self) -> Message:
        """The message, made at most once. Raises ContractError."""
        if self.message is None:
            self.message = to_message(self.event, self.traceparent)
        return self.message

    def settle(self, position: Position | None) -> None:
        """See Receipt.settle."""
        if self.receipt is not None:
            self.receipt.settle(self.index, position)

    def fail(self, error: ProducerError) -> None:
        """See Receipt.fail."""
        if self.receipt is not None:
            self.receipt.fail(error)


async def encode_all(entries: Sequence[Entry]) -> tuple[list[Entry], list[ContractError]]:
    """The entries that could be encoded, and the errors of the others.

    Gives way to other tasks after every ENCODE_SLICE events.
    """
    encoded: list[Entry] = []
    faults: list[ContractError] = []
    for count, entry in enumerate(entries, start=1):
        try:
            entry.encode()
            encoded.append(entry)
        except ContractError as error:
            faults.append(error)
        if count % ENCODE_SLICE == 0:
            await asyncio.sleep(0)
    return encoded, faults


def messages(entries: Sequence[Entry]) -> list[Message]:
    """The entries' messages; all of them must be encodable."""
    return [entry.encode() for entry in entries]
