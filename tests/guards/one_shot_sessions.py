"""A program: sessions of one turn each, by the million, through an API replica or a writer.

    python -m tests.guards.one_shot_sessions SESSIONS [POSTGRES_DSN]

A process of its own, so that its memory is that of the work alone. Prints a JSON line for each
tenth: bytes resident after it, and the processor time that it took.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from typing import Final

import psutil

from consumer.records import Batch
from consumer.store import Store
from consumer.writer import Writer
from producer.classifier import classify
from producer.signals import detect
from router_api.directory import Directory
from router_api.metrics import Metrics
from router_api.picks import Picker, PickRequest
from router_api.tokens import TurnTokens
from schemas.codec import Event
from schemas.request_types import REQUEST_TYPES
from tests.factories import T0, config, configured, records, turn, uuid7

TENTHS: Final = 10
# A turn each 2 ms, of which the last hundred seconds are remembered.
STEP_MS: Final = 2
WINDOW_S: Final = 100.0
ARMS: Final = ("a", "b", "c", "d")
_BATCH: Final = 10_000
_WITH_MESSAGES: Final = 20  # one in so many: to classify one takes as long as four picks
_MESSAGES: Final = (
    {"role": "user", "content": "Write a function that reverses a string."},
    {"role": "assistant", "content": "def reverse(text): return text[::-1]"},
    {"role": "user", "content": "Thanks. And now one that counts words, please."},
)
CONFIG: Final = config(arms=ARMS, attribution_window_s=WINDOW_S)


class Tenths:
    """Prints what each tenth of the sessions took."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._begun_s = time.process_time()

    def ended(self) -> None:
        now_s = time.process_time()
        figures = {"rss": self._process.memory_info().rss, "cpu_s": now_s - self._begun_s}
        print(json.dumps(figures), flush=True)
        self._begun_s = now_s


def through_the_picker(sessions: int) -> None:
    """Picks; some bring a conversation to classify, and to find signals in."""
    directory = Directory()
    directory.apply_config(configured(CONFIG))
    picker = Picker(
        find_router=directory.get,
        emit=lambda _event, _traceparent: None,
        tokens=TurnTokens(["k" * 64]),
        classifier=classify,
        detector=detect,
        metrics=Metrics(),
        now_ms=lambda: T0,
        source="test",
    )
    tenths = Tenths()
    for number in range(1, sessions + 1):
        messages = None if number % _WITH_MESSAGES else _MESSAGES
        picker.pick("r", PickRequest(session_id=f"session-{number}", messages=messages))
        if number % (sessions // TENTHS) == 0:
            tenths.ended()


async def through_the_writer(sessions: int, dsn: str) -> None:
    """Turns as the consumer gets them, folded into Postgres; what has expired is dropped."""
    store = await Store.connect(dsn)
    writer = Writer(store)
    await writer.take([0])
    await writer.write(Batch.of({0: records([configured(CONFIG)])}))
    tenths = Tenths()
    next_offset = 1
    for number, batch in enumerate(_turns(sessions, random.Random(1)), start=1):
        await writer.write(Batch.of({0: records(batch, next_offset)}))
        next_offset += len(batch)
        await writer.forget()
        await writer.forget_sessions()
        if number % (sessions // _BATCH // TENTHS) == 0:
            tenths.ended()
    await store.close()


def _turns(sessions: int, rng: random.Random) -> Iterator[list[Event]]:
    for first in range(0, sessions, _BATCH):
        yield [
            turn(
                uuid7(T0 + STEP_MS * number, rng),
                session_id=f"session-{number}",
                arm=ARMS[number % 4],
                eligible=ARMS,
                request_type=REQUEST_TYPES[number % 7],
            )
            for number in range(first, first + _BATCH)
        ]


if __name__ == "__main__":
    wanted = int(sys.argv[1])
    if len(sys.argv) > 2:
        asyncio.run(through_the_writer(wanted, sys.argv[2]))
    else:
        through_the_picker(wanted)
