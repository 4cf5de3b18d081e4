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

# Ours, and LiteLLM's name for the same.
TIER_HEADERS: Final = ("x-min-quality-tier", "x-litellm-min-quality-tier")
_TIER_METADATA: Final = "min_quality_tier"
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
                *(
                    {
                        "name": name,
                        "in": "header",
                        "required": False,
                        "description": "Used where the body gives no min_quality_tier",
                        "schema": {"type": "integer", "minimum": 1, "maximum": 3},
                    }
                    for name in TIER_HEADERS
                ),
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
        picked = service.pick(
            request.path_params["router"],
            PickRequest(
                session_id=body.session_id,
                messages=body.messages,
                request_type=body.request_type,
                previous_turn=body.previous_turn,
                min_quality_tier=_min_quality_tier(body, request),
                exclude=body.exclude,
                serving=body.serving,
                traceparent=_trace_context(request),
            ),
        )
        return json_answer(
            {
                "turn_id": str(picked.turn_id),
                "turn_token": picked.turn_token,
                "arm": picked.arm,
                "chosen": picked.chosen,
                "mode": picked.mode,
                "request_type": picked.request_type,
                "probability": picked.probability,
                "fallbacks": picked.fallbacks,
                "snapshot": {
                    "version": picked.snapshot_version,
                    "age_ms": picked.snapshot_age_ms,
                },
            }
        )


def _min_quality_tier(body: PickBody, request: Request) -> int | None:
    """Of the body, else of a header, else of LiteLLM's metadata key."""
    if body.min_quality_tier is not None:
        return body.min_quality_tier
    for name in TIER_HEADERS:
        value = header(request, name.encode())
        if value is not None:
            return _tier(value.strip(), name, "The header must be 1, 2 or 3.")
    stated = (body.metadata or {}).get(_TIER_METADATA)
    if stated is None:
        return None
    return _tier(str(stated), f"metadata.{_TIER_METADATA}", "It must be 1, 2 or 3.")


def _tier(text: str, field: str, message: str) -> int:
    if text not in ("1", "2", "3"):
        raise invalid([Fault(field, message)])
    return int(text)


def _trace_context(request: Request) -> str | None:
    value = header(request, _TRACEPARENT)
    return value if value is not None and _TRACE_CONTEXT.fullmatch(value) else None
