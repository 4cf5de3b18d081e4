"""One pick, from a request to a logged turn. Nothing is awaited and nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final
from uuid import UUID

from uuid_utils import uuid7

from producer.classifier import RequestClassifier
from router_api.errors import BadToken, InvalidPick, NoEligibleArm
from router_api.metrics import Metrics
from router_api.reactions import SignalDetector, outcome_of_reaction
from router_api.routing.router import Choice, Router, sticky_key
from router_api.tokens import TurnAddress, TurnTokens
from schemas.events import Mode, Outcome, Turn

MAX_SESSION_ID_CHARS: Final = 256
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PickRequest:
    """What is known about a request that wants an arm. Everything may be left out.

    `messages` (OpenAI's or Anthropic's form) are looked at for what they say about the turn before,
    and for the request type where none is given; they are neither kept nor logged. `previous_turn`
    is the token of the turn before this one, `traceparent` the W3C trace context to log with it.
    `serving` is the gateway's own choice: it stands in the modes observe and bypass, and means
    nothing in mode live, so that a change of mode needs no change of the gateway.
    """

    session_id: str | None = None
    messages: Sequence[Mapping[str, object]] | None = None
    request_type: str | None = None
    previous_turn: str | None = None
    min_quality_tier: int | None = None
    exclude: Sequence[str] = ()
    serving: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Pick:
    """The arm to call. `turn_token` comes back with the outcomes; `fallbacks`, likeliest first, are
    for when the arm fails. `chosen` is the router's choice and `probability` the exact chance with
    which it was made; it differs from `arm` in mode observe only."""

    turn_id: UUID
    turn_token: str
    arm: str
    chosen: str
    mode: Mode
    request_type: str
    probability: float
    fallbacks: tuple[str, ...]
    snapshot_version: str
    snapshot_age_ms: int | None


class Picker:
    """Picks arms and emits the turns. Call it in the thread in which routers are changed."""

    def __init__(
        self,
        *,
        find_router: Callable[[str], Router],
        emit: Callable[[Turn | Outcome, str | None], object],
        tokens: TurnTokens,
        classifier: RequestClassifier,
        detector: SignalDetector,
        metrics: Metrics,
        now_ms: Callable[[], int],
        source: str,
    ) -> None:
        """`emit` is given each event with its traceparent; it must neither block nor raise."""
        self._find_router = find_router
        self._emit = emit
        self._tokens = tokens
        self._classifier = classifier
        self._detector = detector
        self._metrics = metrics
        self._now_ms = now_ms
        self._source = source

    def pick(self, name: str, request: PickRequest) -> Pick:
        """Choose an arm of the router of that name.

        Raises UnknownRouter, UnknownRequestType, UnknownArm, NoEligibleArm, BadToken (field
        "previous_turn") or InvalidPick; whatever the state of learning is, nothing else.
        """
        begun = perf_counter()
        router = self._find_router(name)
        _check_session_id(request.session_id)
        previous = self._previous_turn(request.previous_turn)
        request_type = self._request_type(router, request)
        now_ms = self._now_ms()
        turn_id = uuid7(nanoseconds=now_ms * _NS_PER_MS).bytes
        try:
            choice, arm = _choose(router, request, request_type, turn_id, now_ms)
        except NoEligibleArm:
            self._metrics.no_eligible_arm(name)
            raise
        mode = router.config.mode
        reaction = self._reaction(router, request, previous, now_ms)
        applied_at_ms = choice.applied_at_ms
        age_ms = None if applied_at_ms is None else max(0, now_ms - applied_at_ms)
        self._emit(
            Turn(
                turn_id=turn_id,
                session_id=request.session_id,
                router=name,
                router_version=router.version,
                request_type=request_type,
                arm=choice.arm,
                arm_served=None if arm == choice.arm else arm,
                eligible=choice.eligible,
                probability=choice.probability,
                snapshot_version=choice.snapshot_version,
                snapshot_age_ms=age_ms,
                mode=mode,
                previous_turn_id=None if previous is None else previous.turn_id,
                reaction=reaction,
                occurred_at=now_ms,
                source=self._source,
            ),
            request.traceparent,
        )
        address = TurnAddress(turn_id, request.session_id, name, request_type, arm)
        pick = Pick(
            turn_id=UUID(bytes=turn_id),
            turn_token=self._tokens.issue(address),
            arm=arm,
            chosen=choice.arm,
            mode=mode,
            request_type=request_type,
            probability=choice.probability,
            fallbacks=choice.fallbacks if arm == choice.arm else _without(arm, choice),
            snapshot_version=choice.snapshot_version,
            snapshot_age_ms=age_ms,
        )
        self._metrics.picked(name, request_type, arm)
        self._metrics.pick_seconds.observe(perf_counter() - begun)
        return pick

    def _reaction(
        self, router: Router, request: PickRequest, previous: TurnAddress | None, now_ms: int
    ) -> tuple[str, ...]:
        """What goes with the new turn; where only a token says who is reacted to, it goes there."""
        if not request.messages or not router.config.signals:
            return ()  # nothing is looked for that would not count
        if request.session_id is None and previous is None:
            return ()
        try:
            reaction = tuple(map(str, self._detector(request.messages)))
        except Exception:  # a detector of the caller's own, or messages of an unheard-of shape
            self._metrics.detector_failures.inc()
            return ()
        if request.session_id is not None or previous is None:
            return reaction
        outcome = outcome_of_reaction(
            reaction,
            request.messages,
            to=previous,
            outcome_id=uuid7(nanoseconds=now_ms * _NS_PER_MS).bytes,
            now_ms=now_ms,
            source=self._source,
        )
        if outcome is not None:
            self._emit(outcome, request.traceparent)
        return ()

    def _previous_turn(self, token: str | None) -> TurnAddress | None:
        if token is None:
            return None
        try:
            return self._tokens.read(token)
        except BadToken as error:
            raise BadToken(str(error), "previous_turn") from None

    def _request_type(self, router: Router, request: PickRequest) -> str:
        """As stated; else as classified, where the router knows that type; else the default.

        A stated type that the router does not know is left to `choose` to refuse.
        """
        if request.request_type is not None:
            return request.request_type
        if not request.messages:
            return router.default_request_type
        try:
            return router.resolve(self._classifier(request.messages))
        except Exception:  # a classifier of the caller's own, or messages of an unheard-of shape
            self._metrics.classifier_failures.inc()
            return router.default_request_type


def _choose(
    router: Router, request: PickRequest, request_type: str, turn_id: bytes, now_ms: int
) -> tuple[Choice, str]:
    """The router's choice, and the arm that serves: another one in mode observe."""
    config, tier, exclude = router.config, request.min_quality_tier, request.exclude
    if config.mode == "bypass":
        arm = router.serving(request.serving, min_quality_tier=tier, exclude=exclude)
        return router.unchosen(request_type, arm), arm
    choice = router.choose(
        request_type,
        sticky_key(config, request.session_id, turn_id),
        now_ms=now_ms,
        min_quality_tier=tier,
        exclude=exclude,
    )
    if config.mode == "live":
        return choice, choice.arm
    return choice, router.serving(request.serving, min_quality_tier=tier, exclude=exclude)


def _without(arm: str, choice: Choice) -> tuple[str, ...]:
    """Whom to try when `arm` fails, which the router has not chosen."""
    return tuple(name for name in (choice.arm, *choice.fallbacks) if name != arm)


def _check_session_id(session_id: str | None) -> None:
    """A session id is a Kafka key and part of a token: short, and text that UTF-8 has."""
    if session_id is None:
        return
    if not 1 <= len(session_id) <= MAX_SESSION_ID_CHARS:
        raise InvalidPick(
            "session_id", f"must have 1 to {MAX_SESSION_ID_CHARS} characters, has {len(session_id)}"
        )
    if not session_id.isascii():
        try:
            session_id.encode()
        except UnicodeEncodeError:
            raise InvalidPick("session_id", "must be text, and holds a lone surrogate") from None
