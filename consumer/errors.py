"""What stops the consumer. Bad data never does: it becomes a dead letter.

ConsumerError
├── Fenced            another writer took the partition; this one must not write again
├── GenerationChanged other tables have become live; whoever writes must open them
├── LogMismatch       the log does not hold the offset to go on from
├── Unreachable       Kafka or Postgres does not answer
└── SchemaOutdated    the database has not been migrated for this version
"""

from __future__ import annotations


class ConsumerError(RuntimeError):
    """Base of all faults that stop the consumer. The message says what to do."""


class Fenced(ConsumerError):
    """Another writer owns the partition now. Nothing of the batch was written. Never retried."""


class GenerationChanged(ConsumerError):
    """A promote or a rollback has made other tables live. Nothing was taken."""


class LogMismatch(ConsumerError):
    """The next offset to fold is not in the log. Going on would lose events, so it stops."""


class Unreachable(ConsumerError):
    """A server that the consumer needs does not answer."""


class SchemaOutdated(ConsumerError):
    """The database lacks the tables of this version."""
