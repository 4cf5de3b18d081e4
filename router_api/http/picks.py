"""POST /v1/routers/{router}/picks: which arm should answer this request?"""

from __future__ import annotations

import re
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from router_api.http import failures
from router_api.http.answers import PickAnswer
from router_api.http.bodies import PICK, PickBody
from router_api.http.body import header, invalid, json_body, validated
from router_api.http.problems import (
    BODY_TOO_LARGE,
    INVALID_REQUEST,
    MALFORMED_JSON,
    NOT_JSON,
    Fault,
)
from router_api.http.routes import ROUTER_PARAMETER, documented, json_answer, raw_route, ref
from router_api.service import PickRequest, RoutingService

TIER_HEADER: Final = "x-min-quality-tier"
_TIER_HEADER_BYTES: Final = TIER_HEADER.encode()
_TRACEPARENT: Final = b"traceparent"
# W3C Trace Context, version 00. Anything else is dropped, as that specification demands.
_TRACE_CONTEXT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def add_picks(app: FastAPI, service: RoutingService) -> None:
    """Add the route, answered by `service`."""

    @raw_route(
        app,
        "POST",
        "/v1/routers/{router}/picks",
        tag="picks",
        **documented(
            PickAnswer,
            description="The arm to call, and the token for its outcomes",
            body=ref(PickBody),
            parameters=[
                ROUTER_PARAMETER,
                {
                    "name": TIER_HEADER,
                    "in": "header",
                    "required": False,
                    "description": "Used where the body gives no min_quality_tier",
                    "schema": {"type": "integer", "minimum": 1, "maximum": 3},
                },
                {
                    "name": "traceparent",
                    "in": "header",
                    "required": False,
                    "description": "W3C trace context, kept with the turn",
                    "schema": {"type": "string"},
                },
            ],
            problems=[
                MALFORMED_JSON,
                failures.UNKNOWN_ROUTER,
                BODY_TOO_LARGE,
                NOT_JSON,
                INVALID_REQUEST,
                failures.UNKNOWN_ARM,
                failures.UNKNOWN_REQUEST_TYPE,
                failures.NO_ELIGIBLE_ARM,
                failures.BAD_TOKEN,
                failures.NOT_READY,
            ],
        ),
    )
    async def pick(request: Request) -> Response:
        """Choose an arm for a request.

        The same session gets the same arm while beliefs do not change, on every replica.
        """
        body = validated(PICK, await json_body(request))
        tier = body.min_quality_tier
        picked = service.pick(
            request.path_params["router"],
            PickRequest(
                session_id=body.session_id,
                messages=body.messages,
                request_type=body.request_type,
                previous_turn=body.previous_turn,
                min_quality_tier=_tier_of_header(request) if tier is None else tier,
                exclude=body.exclude,
                traceparent=_trace_context(request),
            ),
        )
        return json_answer(
            {
                "turn_id": str(picked.turn_id),
                "turn_token": picked.turn_token,
                "arm": picked.arm,
                "request_type": picked.request_type,
                "probability": picked.probability,
                "fallbacks": picked.fallbacks,
                "snapshot": {
                    "version": picked.snapshot_version,
                    "age_ms": picked.snapshot_age_ms,
                },
            }
        )


def _tier_of_header(request: Request) -> int | None:
    value = header(request, _TIER_HEADER_BYTES)
    if value is None:
        return None
    if value.strip() not in ("1", "2", "3"):
        raise invalid([Fault(TIER_HEADER, "The header must be 1, 2 or 3.")])
    return int(value)


def _trace_context(request: Request) -> str | None:
    value = header(request, _TRACEPARENT)
    return value if value is not None and _TRACE_CONTEXT.fullmatch(value) else None
