"""POST /v1/outcomes: what happened to turns that were picked here."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from router_api.errors import RoutingError
from router_api.http import failures
from router_api.http.answers import OutcomesAnswer
from router_api.http.bodies import MAX_BATCH, OUTCOME, OUTCOMES, OutcomeBody, to_ms
from router_api.http.body import json_body, validated
from router_api.http.problems import BODY_TOO_LARGE, INVALID_REQUEST, MALFORMED_JSON, NOT_JSON
from router_api.http.routes import documented, json_answer, raw_route, ref
from router_api.service import OutcomeReport, RoutingService

# How faults of a batch are named: "outcomes.3.scores.quality". One outcome alone has no index.
_BATCH: Final = "outcomes"
_ONLY_ONE: Final = f"{_BATCH}.0"


def add_outcomes(app: FastAPI, service: RoutingService) -> None:
    """Add the route, answered by `service`."""

    @raw_route(
        app,
        "POST",
        "/v1/outcomes",
        tag="outcomes",
        **documented(
            OutcomesAnswer,
            status=202,
            description="Stored: the broker or the durable spool has all of them",
            body={
                "oneOf": [
                    ref(OutcomeBody),
                    {
                        "type": "array",
                        "items": ref(OutcomeBody),
                        "minItems": 1,
                        "maxItems": MAX_BATCH,
                    },
                ]
            },
            problems=[
                MALFORMED_JSON,
                BODY_TOO_LARGE,
                NOT_JSON,
                INVALID_REQUEST,
                failures.UNKNOWN_ARM,
                failures.BAD_TOKEN,
                failures.INVALID_OUTCOME,
                failures.NOT_READY,
                failures.UNAVAILABLE,
            ],
        ),
    )
    async def report_outcomes(request: Request) -> Response:
        """Report one outcome, or an array of them: all are accepted, or none.

        A 503 says that nothing was stored: send the same again, with the same outcome_id, after
        Retry-After seconds. What was stored twice counts once.
        """
        value = await json_body(request)
        if isinstance(value, list):
            reports = [_report(body) for body in validated(OUTCOMES, value, _BATCH)]
            accepted = await service.record(reports)
        else:
            report = _report(validated(OUTCOME, value))
            try:
                accepted = await service.record([report])
            except RoutingError as error:
                raise (failures.problem_of(error, without=_ONLY_ONE) or error) from None
        ids = [str(outcome_id) for outcome_id in accepted]
        return json_answer({"accepted": len(ids), "outcome_ids": ids}, 202)


def _report(body: OutcomeBody) -> OutcomeReport:
    completion = body.completion
    return OutcomeReport(
        turn_token=body.turn_token,
        outcome_id=body.outcome_id,
        arm_served=body.arm_served,
        status=completion.status if completion else None,
        status_code=completion.status_code if completion else None,
        latency_ms=completion.latency_ms if completion else None,
        ttft_ms=completion.ttft_ms if completion else None,
        tokens_in=completion.tokens_in if completion else None,
        tokens_out=completion.tokens_out if completion else None,
        cost_usd=completion.cost_usd if completion else None,
        scores=body.scores or {},
        signals=body.signals or (),
        voids=body.voids,
        occurred_at_ms=to_ms(body.occurred_at) if body.occurred_at else None,
    )
