"""What the signals are detected by, one file per reason; the decision is in producer.signals.

names                         the signals
exchange                      the recent turns of the messages
praise                        the user thanks, praises, confirms           English
correction, rejection         the user says it is not what was asked       English
giving_up                     the user gives up or asks for a human        English
feedback_words, feedback_marks    all of these in nine other languages
tool_output, payload          how tools report failure and limits
repetition                    what was said or tried before
"""

from __future__ import annotations

from typing import Final

from producer.rules.model import Cue
from producer.signal_rules import (
    correction,
    feedback_marks,
    feedback_words,
    giving_up,
    praise,
    rejection,
)

FEEDBACK_CUES: Final[tuple[Cue, ...]] = (
    *praise.CUES,
    *correction.CUES,
    *rejection.CUES,
    *giving_up.CUES,
    *feedback_words.CUES,
    *feedback_marks.CUES,
)
