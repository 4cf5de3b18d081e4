"""What a request says about the turn before it. Pure; no text leaves this module.

Within a session the fold knows which turn that was, and the reaction rides on the new turn. A
caller without a session may name the turn by its token instead; then the reaction is an outcome of
its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from router_api.tokens import TurnAddress
from schemas.events import Outcome
from schemas.metrics import SATISFACTION

# Messages to the names of signals (schemas.metrics.SIGNALS).
SignalDetector = Callable[[Sequence[Mapping[str, object]]], Sequence[str]]

# As in consumer.sessions: the first "thanks" often only closes a greeting.
MIN_ANSWERS_FOR_SATISFACTION: Final = 2


def outcome_of_reaction(
    reaction: Sequence[str],
    messages: Sequence[Mapping[str, object]],
    *,
    to: TurnAddress,
    outcome_id: bytes,
    now_ms: int,
    source: str,
) -> Outcome | None:
    """The reaction as an outcome of the turn `to`; None where nothing of it counts."""
    answers = sum(1 for message in messages if _is_answer(message))
    signals = tuple(
        signal
        for signal in reaction
        if signal != SATISFACTION or answers >= MIN_ANSWERS_FOR_SATISFACTION
    )
    if not signals:
        return None
    return Outcome(
        outcome_id=outcome_id,
        turn_id=to.turn_id,
        session_id=to.session_id,
        router=to.router,
        request_type=to.request_type,
        arm=to.arm,
        signals=signals,
        occurred_at=now_ms,
        source=source,
    )


def _is_answer(message: object) -> bool:
    return isinstance(message, Mapping) and message.get("role") == "assistant"
