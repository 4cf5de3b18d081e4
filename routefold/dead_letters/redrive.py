"""The bytes of dead letters into the events topic again, under their own keys.

Kafka first, Postgres second: between the two a crash leaves a letter that was published and is not
marked. Redriven again, it is a duplicate: a fact counts once, whatever the number of its records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from producer.batching import MAX_BATCH_BYTES, Message
from producer.delivery import SEND_DEADLINE_S, Delivery, Position, deliver
from producer.errors import BrokerUnreachable
from producer.link import KafkaLink, Parcel
from producer.publisher import START_TIMEOUT_S
from routefold.dead_letters.letters import LetterId
from routefold.dead_letters.store import LetterStore, Locked
from schemas.codec import current, decode
from schemas.errors import ContractError
from schemas.events import Outcome, RouterConfigured, Turn
from schemas.headers import CONTENT_TYPE, cloud_event_headers
from schemas.topics import Topics

# The header that says where a record came from.
REDRIVEN_FROM: Final = "routefold_redriven_from"
# Letters that are locked, published and marked together.
_BATCH: Final = 500


@dataclass(slots=True)
class Redriven:
    """What a redrive did. Every chosen letter is in one of the two."""

    published: dict[LetterId, LetterId] = field(default_factory=dict)  # with the new place
    refused: dict[LetterId, str] = field(default_factory=dict)  # with the reason


async def redrive(
    bootstrap_servers: str,
    topics: Topics,
    store: LetterStore,
    letters: Sequence[LetterId],
    *,
    again: bool = False,
) -> Redriven:
    """Publish these letters in the order given, and mark each once the broker has it.

    One that was redriven before is refused unless `again`. Raises BrokerUnreachable or TopicMissing
    when there is no Kafka at the start; when it goes away later, the rest is refused.
    """
    done = Redriven()
    if not letters:
        return done
    link = KafkaLink(bootstrap_servers, topics, {})
    try:
        await link.connect(START_TIMEOUT_S)
        for start in range(0, len(letters), _BATCH):
            batch = letters[start : start + _BATCH]
            if not await _redrive_batch(link, topics.events, store, batch, again, done):
                for letter in letters[start + _BATCH :]:
                    done.refused[letter] = "not tried: Kafka went away"
                break
    finally:
        await link.close()
    return done


async def _redrive_batch(
    link: KafkaLink,
    topic: str,
    store: LetterStore,
    letters: Sequence[LetterId],
    again: bool,
    done: Redriven,
) -> bool:
    """False when Kafka did not take all that it might have."""
    async with store.locked(letters) as found:
        to_send: list[Locked] = []
        for letter in found:
            if fault := _fault(letter, again):
                done.refused[letter.id] = fault
            else:
                to_send.append(letter)
        answers = await _publish(link, topic, to_send)
        new: list[tuple[LetterId, LetterId]] = []
        for letter in to_send:
            answer = answers[letter.id]
            if isinstance(answer, Position):
                new.append((letter.id, LetterId(*answer)))
            else:
                done.refused[letter.id] = str(answer)
        await store.mark(new)
    done.published.update(new)
    return not any(isinstance(answer, BrokerUnreachable) for answer in answers.values())


def _fault(letter: Locked, again: bool) -> str | None:
    """Why a letter is not published."""
    if letter.key is None or letter.value is None:
        missing = "key" if letter.key is None else "value"
        return f"it has no {missing}, and no version can fold such a record"
    if letter.redriven and not again:
        return "it was redriven before: add --again to publish it once more"
    if (size_bytes := _message(letter).size_bytes) > MAX_BATCH_BYTES:
        return f"it has {size_bytes:,} bytes, at most {MAX_BATCH_BYTES:,} can be published"
    return None


async def _publish(
    link: KafkaLink, topic: str, letters: Sequence[Locked]
) -> Mapping[LetterId, Delivery]:
    answers: dict[LetterId, Delivery] = {}
    # A configuration is in every partition, so each copy goes back to its own; and before the
    # events, which may rely on it. All else belongs to the partition of its key.
    configs = [letter for letter in letters if _is_config(letter)]
    events = [letter for letter in letters if not _is_config(letter)]
    if configs:
        parcels = [Parcel(topic, at.id.partition, [_message(at)]) for at in configs]
        sent = await link.send(parcels, SEND_DEADLINE_S)
        for letter, answer in zip(configs, sent, strict=True):
            partition = letter.id.partition
            answers[letter.id] = Position(partition, answer) if isinstance(answer, int) else answer
    if events:
        delivered = await deliver(link, topic, [_message(letter) for letter in events])
        answers.update(zip((letter.id for letter in events), delivered, strict=True))
    return answers


def _is_config(letter: Locked) -> bool:
    return (letter.value or b"").startswith(current(RouterConfigured).prefix)


def _message(letter: Locked) -> Message:
    """The record as it was, with headers that tell where it was."""
    assert letter.key is not None
    assert letter.value is not None
    headers = [("content-type", CONTENT_TYPE)]
    try:
        event = decode(letter.value)
        if isinstance(event, Turn | Outcome | RouterConfigured):
            headers = cloud_event_headers(event)
    except (ContractError, ValueError, OverflowError, OSError):
        pass  # what can't be decoded, or has a time that no calendar knows, has no attributes
    return Message(letter.key, letter.value, [*headers, (REDRIVEN_FROM, str(letter.id).encode())])
