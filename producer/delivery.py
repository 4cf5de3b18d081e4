"""Messages to the events topic: by partition, in batches, and the answer for each message."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from producer.batching import Batch, Message, plan
from producer.errors import BrokerUnreachable, EventRefused
from producer.link import KafkaLink, Parcel

# How long events may wait for a broker before they go to the spool. Long enough for a leader to
# hand over in a rolling restart (under a second) or a collection pause; short enough that a caller
# waiting for `publish` behind one failing round is answered within the usual HTTP time-out of 10 s.
SEND_DEADLINE_S: Final = 3.0


class Position(NamedTuple):
    """Where the log holds an event. The offset is -1 when the broker recognised a resend but no
    longer knew where the first copy went."""

    partition: int
    offset: int


Delivery = Position | EventRefused | BrokerUnreachable


async def deliver(link: KafkaLink, topic: str, messages: Sequence[Message]) -> list[Delivery]:
    """Send the messages; what became of each, in the same order, within SEND_DEADLINE_S.

    A broker refuses a batch as a whole, so a refused batch is sent again in halves until the
    message that it refuses stands alone. The link must have been connected once.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + SEND_DEADLINE_S
    found: dict[int, Delivery] = {}
    pending = plan(messages, link.event_partitions)
    while pending:
        parcels = [
            Parcel(topic, batch.partition, [messages[i] for i in batch.indexes])
            for batch in pending
        ]
        answers = await link.send(parcels, max(deadline - clock(), 0.0))
        halves: list[Batch] = []
        for batch, answer in zip(pending, answers, strict=True):
            if isinstance(answer, EventRefused) and len(batch.indexes) > 1:
                halves += batch.halves()
            else:
                found.update(_by_message(batch, answer))
        pending = halves
    return [found[i] for i in range(len(messages))]


def _by_message(
    batch: Batch, answer: int | EventRefused | BrokerUnreachable
) -> dict[int, Delivery]:
    if not isinstance(answer, int):
        return dict.fromkeys(batch.indexes, answer)
    if answer < 0:
        return dict.fromkeys(batch.indexes, Position(batch.partition, -1))
    return {i: Position(batch.partition, answer + n) for n, i in enumerate(batch.indexes)}
