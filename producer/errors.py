"""What can go wrong between an event and the log.

ProducerError
├── BrokerUnreachable        Kafka does not answer, or does not take events now: try again later
├── TopicMissing             the installation has not been initialised: run `routefold init`
├── PublishFailed            neither broker nor spool took an event: send it again, same ids
├── EventRefused             this event can never be published: correct it (also a ContractError)
├── SpoolError               the local spool can't be used: the message says why
│   ├── SpoolFull            its bound or the disk is reached
│   └── SpoolLocked          another process has it open
└── ClientError              a call of the HTTP API failed (these three are in producer.client)
    ├── ApiError             the API answered with an error
    └── ApiUnreachable       the API did not answer
"""

from __future__ import annotations

from schemas.errors import ContractError


class ProducerError(Exception):
    """Base of everything this package raises on purpose."""


class BrokerUnreachable(ProducerError):
    """Kafka does not answer, or does not take events now."""


class TopicMissing(ProducerError):
    """A topic of this installation does not exist."""

    def __init__(self, topic: str) -> None:
        super().__init__(f"topic {topic} does not exist: run `routefold init`")
        self.topic = topic


class PublishFailed(ProducerError):
    """Neither the broker nor the spool has the event. Sending it again with the same ids is safe:
    facts about a turn count once."""


class EventRefused(ProducerError, ContractError):
    """The event itself can't be published, now or later: too large, or refused by the broker."""


class SpoolError(ProducerError):
    """The local spool can't be used."""


class SpoolFull(SpoolError):
    """The spool's bound or the disk is reached; nothing of the call was stored."""


class SpoolLocked(SpoolError):
    """Another process, or another spool object, has the file open."""
