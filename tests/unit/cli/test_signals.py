"""A signal cancels the command once, and its cleanup runs to the end."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from routefold.signals import Interrupted, run, stop_event


def send(*numbers: signal.Signals) -> None:
    for number in numbers:
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_command_with_its_code(number: signal.Signals) -> None:
    async def main() -> None:
        send(number)
        await asyncio.sleep(60)

    with pytest.raises(Interrupted) as caught:
        run(main())
    assert caught.value.exit_code == 128 + number


def test_a_second_signal_does_not_cut_the_cleanup_short() -> None:
    cleaned = []

    async def main() -> None:
        try:
            send(signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            send(signal.SIGINT, signal.SIGTERM)
            await asyncio.sleep(0.05)
            cleaned.append(True)

    with pytest.raises(Interrupted):
        run(main())
    assert cleaned


def test_a_command_may_answer_a_signal_with_a_result() -> None:
    async def main() -> str:
        try:
            send(signal.SIGTERM)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "partial"
        return "whole"

    assert run(main()) == "partial"


def test_errors_pass_through() -> None:
    async def main() -> None:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        run(main())


async def test_a_server_is_told_to_stop() -> None:
    with stop_event() as stop:
        send(signal.SIGTERM)
        await asyncio.wait_for(stop.wait(), 5)
