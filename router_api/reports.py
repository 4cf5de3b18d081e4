"""From what a caller reports about a turn to the event that is published. Pure.

Everything is checked here that the fold would refuse later, when nobody can be told any more. The
fields of faults are those of the HTTP API's body: "outcomes.3.completion.latency_ms".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast, get_args
from uuid import UUID

from router_api.errors import BadToken, InvalidReport, UnknownArm, listed, quoted
from router_api.routing.router import Router
from router_api.tokens import TurnAddress
from schemas.events import Outcome, Status
from schemas.metrics import SIGNALS, kind_of, max_value

# Clocks of callers differ; an outcome from further ahead has a wrong unit or a wrong date.
MAX_AHEAD_MS: Final = 5 * 60 * 1000
_STATUSES: Final = tuple(status for status in get_args(Status) if status != "none")
_WHOLE: Final = ("tokens_in", "tokens_out")
_MEASURED: Final = ("latency_ms", "ttft_ms", *_WHOLE, "cost_usd")
_STATUS_CODES: Final = range(100, 600)
# Request time-out, too large, too many requests, unavailable, gateway time-out: a limit was met.
EXHAUSTION_STATUSES: Final = frozenset({408, 413, 429, 503, 504})


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeReport:
    """Something learned about a turn: how its call went, scores in 0..1, signals, or several.

    `outcome_id` left out is made here; give it to send a report again without counting it twice.
    `voids` is the id of an earlier outcome of this turn, which is taken back: corrected if this
    report says something itself, else retracted. `signals` are names of schemas.metrics.SIGNALS.
    `occurred_at_ms` left out is now.
    """

    turn_token: str
    outcome_id: UUID | None = None
    arm_served: str | None = None
    status: str | None = None
    status_code: int | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    signals: Sequence[str] = ()
    voids: UUID | None = None
    occurred_at_ms: int | None = None


def to_outcome(
    report: OutcomeReport,
    *,
    path: str,
    read_token: Callable[[str], TurnAddress],
    find_router: Callable[[str], Router | None],
    outcome_id: bytes,
    now_ms: int,
    source: str,
) -> Outcome:
    """The event of a report. `outcome_id` is used where the report has none.

    Raises BadToken, UnknownArm or InvalidReport, with a field below `path` ("outcomes.3").
    """
    try:
        address = read_token(report.turn_token)
    except BadToken as error:
        raise BadToken(str(error), f"{path}.turn_token") from None
    router = find_router(address.router)
    if router is None:
        raise InvalidReport(
            f"{path}.turn_token",
            f"the turn was picked by router {quoted(address.router)}, which is not known here",
        )
    _check_arm(report.arm_served, router, path)
    _check_completion(report, f"{path}.completion")
    _check_scores(report.scores, router, f"{path}.scores")
    _check_signals(report.signals, router, f"{path}.signals")
    _check_time(report.occurred_at_ms, now_ms, f"{path}.occurred_at")
    if report.voids is not None and report.voids == report.outcome_id:
        raise InvalidReport(
            f"{path}.voids", "an outcome can't void itself: give the outcome_id of an earlier one"
        )
    if not _says_something(report):
        raise InvalidReport(
            path, "it says nothing: give at least one of completion, scores, signals and voids"
        )
    signals = [*report.signals]
    if report.status_code in EXHAUSTION_STATUSES:
        signals.append("exhaustion")
    return Outcome(
        outcome_id=outcome_id if report.outcome_id is None else report.outcome_id.bytes,
        turn_id=address.turn_id,
        session_id=address.session_id,
        router=address.router,
        request_type=address.request_type,
        arm=address.arm,
        arm_served=report.arm_served,
        status=cast(Status, report.status or "none"),
        status_code=report.status_code,
        latency_ms=report.latency_ms,
        ttft_ms=report.ttft_ms,
        tokens_in=report.tokens_in,
        tokens_out=report.tokens_out,
        cost_usd=report.cost_usd,
        scores=dict(report.scores),
        signals=tuple(dict.fromkeys(signals)),
        voids=None if report.voids is None else report.voids.bytes,
        occurred_at=now_ms if report.occurred_at_ms is None else report.occurred_at_ms,
        source=source,
    )


def _says_something(report: OutcomeReport) -> bool:
    given = (report.status, report.voids, *(getattr(report, name) for name in _MEASURED))
    return bool(report.scores or report.signals) or any(value is not None for value in given)


def _check_arm(arm: str | None, router: Router, path: str) -> None:
    known = router.config.arm_names
    if arm is not None and arm not in known:
        raise UnknownArm(
            f"router {quoted(router.config.router)} has no arm {quoted(arm)}; "
            f"it has {listed(list(map(quoted, known)))}",
            f"{path}.arm_served",
        )


def _check_completion(report: OutcomeReport, path: str) -> None:
    if report.status is not None and report.status not in _STATUSES:
        raise InvalidReport(
            f"{path}.status",
            f"must be one of {', '.join(_STATUSES)}, got {quoted(str(report.status))}",
        )
    if report.status_code is not None and not _is_whole(report.status_code, _STATUS_CODES):
        raise InvalidReport(
            f"{path}.status_code", f"must be 100 to 599, got {_shown(report.status_code)}"
        )
    for name in _MEASURED:
        value = getattr(report, name)
        top = max_value(kind_of(name))
        if value is None:
            continue
        if not _is_number(value) or not 0 <= value <= top:
            raise InvalidReport(f"{path}.{name}", f"must be 0 to {top:.12g}, got {_shown(value)}")
        if name in _WHOLE and not isinstance(value, int):
            raise InvalidReport(f"{path}.{name}", f"must be a whole number, got {_shown(value)}")


def _check_scores(scores: Mapping[str, float], router: Router, path: str) -> None:
    declared = router.config.declared_metrics
    for metric, value in scores.items():
        if metric not in declared:
            raise InvalidReport(
                f"{path}.{metric}",
                f"router {quoted(router.config.router)} declares no metric {quoted(metric)} to "
                f"score; its rewards declare {listed(list(map(quoted, declared)))}",
            )
        if not _is_number(value) or not 0 <= value <= 1:
            raise InvalidReport(f"{path}.{metric}", f"must be 0 to 1, got {_shown(value)}")


def _check_signals(signals: Sequence[str], router: Router, path: str) -> None:
    counting = router.config.signals
    for index, signal in enumerate(signals):
        if signal not in SIGNALS:
            raise InvalidReport(
                f"{path}.{index}",
                f"{quoted(signal)} is no signal; there are {', '.join(map(quoted, SIGNALS))}",
            )
        if signal not in counting:
            raise InvalidReport(
                f"{path}.{index}",
                f"router {quoted(router.config.router)} does not count the signal "
                f"{quoted(signal)}; its rewards name {listed(list(map(quoted, counting)))}",
            )


def _check_time(occurred_at_ms: int | None, now_ms: int, path: str) -> None:
    if occurred_at_ms is None:
        return
    if not _is_whole(occurred_at_ms, range(now_ms + MAX_AHEAD_MS + 1)):
        raise InvalidReport(
            path,
            f"must be milliseconds since 1970, at most {MAX_AHEAD_MS // 60_000} minutes ahead of "
            f"{now_ms}, got {_shown(occurred_at_ms)}",
        )


def _is_number(value: object) -> bool:
    """An int or float, maybe infinite or NaN; True and False are not numbers here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object, allowed: range) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in allowed


def _shown(value: object) -> str:
    """A value for a message, shortened."""
    if isinstance(value, int) and value.bit_length() > 64:  # Python refuses to print huge ones
        return f"a number of {value.bit_length()} bits"
    return ascii(value)[:20]
