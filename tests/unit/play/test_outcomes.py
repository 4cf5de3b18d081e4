"""Batches of outcomes: nobody waits for ever, and nobody answers for another's batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from routefold.play.errors import GatewayError
from routefold.play.gateway import PlayedOutcome
from routefold.play.outcomes import OutcomeBatches


def outcome(token: str) -> PlayedOutcome:
    return PlayedOutcome(
        turn_token=token,
        outcome_id=uuid4(),
        quality=1.0,
        failed=False,
        latency_ms=None,
        tokens_in=None,
        tokens_out=None,
        cost_usd=0.0,
    )


class Sink:
    """Takes batches, all while `gate` is open; refuses those that hold the token "bad"."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, outcomes: Sequence[PlayedOutcome]) -> None:
        self.batches.append([each.turn_token for each in outcomes])
        await self.gate.wait()
        if any(each.turn_token == "bad" for each in outcomes):
            raise GatewayError("refused")


async def test_a_full_batch_goes_at_once_and_a_partial_one_after_the_wait() -> None:
    sink = Sink()
    batches = OutcomeBatches(sink.send, max_batch=3, max_wait_s=0.01)
    await asyncio.gather(*(batches.post(outcome(str(i))) for i in range(5)))
    assert sink.batches == [["0", "1", "2"], ["3", "4"]]


async def test_a_post_returns_only_when_its_batch_is_accepted() -> None:
    sink = Sink()
    sink.gate.clear()
    batches = OutcomeBatches(sink.send, max_batch=1)
    waiting = asyncio.create_task(batches.post(outcome("a")))
    await asyncio.sleep(0.01)
    assert sink.batches == [["a"]]
    assert not waiting.done()
    sink.gate.set()
    await waiting


async def test_a_refusal_reaches_its_own_batch_only() -> None:
    batches = OutcomeBatches(Sink().send, max_batch=2)
    results = await asyncio.gather(
        *(batches.post(outcome(token)) for token in ("a", "bad", "b", "c")), return_exceptions=True
    )
    assert [type(each) for each in results] == [GatewayError, GatewayError, type(None), type(None)]


async def test_a_cancelled_user_does_not_take_the_batch_from_others() -> None:
    sink = Sink()
    sink.gate.clear()
    batches = OutcomeBatches(sink.send, max_batch=2)
    first = asyncio.create_task(batches.post(outcome("a")))
    second = asyncio.create_task(batches.post(outcome("b")))
    await asyncio.sleep(0.01)
    first.cancel()
    sink.gate.set()
    await second
    assert first.cancelled()


async def test_draining_sends_what_is_left_and_gives_up_what_does_not_end() -> None:
    sink = Sink()
    batches = OutcomeBatches(sink.send, max_wait_s=3600)
    early = asyncio.create_task(batches.post(outcome("early")))
    await asyncio.sleep(0)
    await batches.drain(timeout_s=5)
    await early

    sink.gate.clear()
    stuck = asyncio.create_task(batches.post(outcome("stuck")))
    await asyncio.sleep(0)
    await batches.drain(timeout_s=0.01)
    with pytest.raises(GatewayError, match="given up"):
        await stuck
    assert sink.batches == [["early"], ["stuck"]]
