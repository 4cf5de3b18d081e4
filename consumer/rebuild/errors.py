"""What a rebuild ends with on purpose.

ConsumerError
├── RebuildRefused    the call can't be done as asked: nothing was changed
└── RebuildFailed     it was begun and did not get to its end: run it again to go on
"""

from __future__ import annotations

from consumer.errors import ConsumerError


class RebuildRefused(ConsumerError):
    """A name, a range or a setting is wrong, or the log lacks what was asked for."""


class RebuildFailed(ConsumerError):
    """A worker ended before its time. What was saved is whole."""
