"""A router that can't answer just now is asked again, with the same request, for a while."""

from __future__ import annotations

import time

import pytest

from routefold.play.errors import GatewayError, Unavailable, UnknownRouter
from routefold.play.patience import patiently


class Request:
    def __init__(self, *errors: GatewayError) -> None:
        self.errors = list(errors)
        self.sent = 0

    async def __call__(self) -> str:
        self.sent += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


async def test_the_answer_is_had_once_the_router_is_back() -> None:
    request = Request(Unavailable("away"), Unavailable("away"))
    assert await patiently(request) == "answer"
    assert request.sent == 3


async def test_a_refusal_is_not_repeated() -> None:
    request = Request(GatewayError("never"))
    with pytest.raises(GatewayError, match="never"):
        await patiently(request)
    assert request.sent == 1


async def test_an_unknown_router_is_asked_for_again_only_where_it_may_appear() -> None:
    with pytest.raises(UnknownRouter):
        await patiently(Request(UnknownRouter("not yet")))
    assert await patiently(Request(UnknownRouter("not yet")), repeat_on=UnknownRouter) == "answer"


async def test_patience_ends_with_the_last_error() -> None:
    request = Request(*[Unavailable(f"away {i}") for i in range(100)])
    with pytest.raises(Unavailable, match="away"):
        await patiently(request, patience_s=0.3)
    assert 1 < request.sent < 100


async def test_the_pause_that_the_router_asks_for_is_kept() -> None:
    started = time.monotonic()
    assert await patiently(Request(Unavailable("busy", retry_after_s=0.25))) == "answer"
    assert time.monotonic() - started >= 0.25

    with pytest.raises(Unavailable):  # longer than we would wait at all: no use in waiting
        await patiently(Request(Unavailable("busy", retry_after_s=60)), patience_s=1)
