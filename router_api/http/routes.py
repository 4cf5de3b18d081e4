"""Routes for requests that read their own body, and how they are documented.

FastAPI's own way to an endpoint (included routers, dependencies, their exit stacks) takes as long
as a pick itself. A raw route's endpoint is called with the request and nothing else, so FastAPI
can't see what goes in and out of it: `documented` states that for the OpenAPI document, and the
contract tests check that it is true.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from router_api.http import answers, bodies
from router_api.http.problems import INTERNAL_ERROR, MEDIA_TYPE, Kind
from schemas.router_config import RouterConfig

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]

_REF: Final = "#/components/schemas/{model}"
_DOCUMENTED: Final[Sequence[type[BaseModel]]] = (
    bodies.PickBody,
    bodies.OutcomeBody,
    RouterConfig,
    answers.PickAnswer,
    answers.OutcomesAnswer,
    answers.ConfigAnswer,
    answers.RouterList,
    answers.RouterState,
    answers.Health,
    answers.ProblemDocument,
)
CONFIG_BODY: Final = "RouterConfigBody"
ROUTER_PARAMETER: Final = {
    "name": "router",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
}


class RawRoute(APIRoute):
    """A route whose endpoint takes the Request and returns the Response, with nothing between."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.methods and scope["method"] not in self.methods:
            await super().handle(scope, receive, send)  # 405
            return
        response: Response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def raw_route(
    app: FastAPI, method: str, path: str, *, tag: str, **documentation: Any
) -> Callable[[Endpoint], Endpoint]:
    """Decorator that adds a raw route; the operation is called what its endpoint is called.

    On the application itself: a router that is included would be searched twice per request.
    """

    def add(endpoint: Endpoint) -> Endpoint:
        name = endpoint.__name__
        app.router.add_api_route(
            path,
            endpoint,
            methods=[method],
            name=name,
            operation_id=name,
            tags=[tag],
            route_class_override=RawRoute,
            **documentation,
        )
        return endpoint

    return add


def json_answer(content: Mapping[str, object], status_code: int = 200) -> Response:
    """`content` as a JSON response; numbers that JSON does not have become null."""
    body = to_json(content, inf_nan_mode="null")
    return Response(body, status_code, media_type="application/json")


def ref(schema: type[BaseModel] | str) -> dict[str, str]:
    """Reference to a schema of the OpenAPI document."""
    name = schema if isinstance(schema, str) else schema.__name__
    return {"$ref": _REF.format(model=name)}


def documented(
    answer: type[BaseModel],
    *,
    description: str,
    status: int = 200,
    body: Mapping[str, Any] | None = None,
    parameters: Sequence[Mapping[str, Any]] = (),
    problems: Sequence[Kind] = (),
) -> dict[str, Any]:
    """Arguments of a route's decorator: what goes in and out, for the OpenAPI document.

    `body` is a schema; `problems` are those that this route can answer with besides a crash.
    """
    responses: dict[str, Any] = {
        str(status): {
            "description": description,
            "content": {"application/json": {"schema": ref(answer)}},
        }
    }
    for kind in (*problems, INTERNAL_ERROR):
        response = responses.setdefault(str(kind.status), _problem_response(kind.status))
        response["description"] += f"\n- {kind.slug}: {kind.title}"
    operation: dict[str, Any] = {"responses": responses}
    if parameters:
        operation["parameters"] = list(parameters)
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
    return {"status_code": status, "response_class": Response, "openapi_extra": operation}


def _problem_response(status: int) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": "Problems:",
        "content": {MEDIA_TYPE: {"schema": ref(answers.ProblemDocument)}},
    }
    if status == 503:
        response["headers"] = {
            "Retry-After": {"description": "Seconds", "schema": {"type": "integer", "minimum": 1}}
        }
    return response


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of `app`, with the schemas that raw routes refer to."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
    )
    _, schemas = models_json_schema(
        [(model, "validation") for model in _DOCUMENTED], ref_template=_REF
    )
    components = document.setdefault("components", {}).setdefault("schemas", {})
    components.update(schemas["$defs"])
    # The address names the router already.
    config = components[RouterConfig.__name__]
    components[CONFIG_BODY] = config | {
        "title": CONFIG_BODY,
        "required": [field for field in config["required"] if field != "router"],
    }
    return document
