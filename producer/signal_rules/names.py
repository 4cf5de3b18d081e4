"""The signals by name, and what each speaks for."""

from __future__ import annotations

from enum import StrEnum, unique
from typing import Final


@unique
class Signal(StrEnum):
    """What the messages of a request can show about the session's previous turn."""

    SATISFACTION = "satisfaction"  # the user thanks, praises, confirms
    MISALIGNMENT = "misalignment"  # the user corrects, doubts or says the same thing again
    STAGNATION = "stagnation"  # the assistant says again what it had said
    DISENGAGEMENT = "disengagement"  # the user gives up or asks for a human
    FAILURE = "failure"  # a tool that the assistant called failed
    LOOP = "loop"  # the assistant made a call that it had made before
    RETRY = "retry"  # the assistant made almost the same call as shortly before
    NO_PROGRESS = "no_progress"  # the tools answered what they had answered before
    EXHAUSTION = "exhaustion"  # a limit was met: time, quota, context


# Only thanks and praise speak for the answer.
FAVOURABLE: Final = frozenset({Signal.SATISFACTION})

# Readings of a message that depend on the answer before it. One that opens with "no" corrects, one
# that opens with "yes" and asks for a human gives up: unless the answer had asked or offered that.
DENIAL: Final = "denial"
ACCEPTANCE: Final = "acceptance"
