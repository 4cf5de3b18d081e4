"""A whole installation in one process and in simulated time: API replicas, a log, and its writer.

Requests go the way of production, but for the servers: the picker classifies them, finds signals,
picks, and signs a token; reports become outcomes by that token; all events are encoded, folded and
published as snapshots, which every replica takes in. Picks depend on session ids alone, so a test
repeats itself exactly.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final

from benchmarks.learner import FOLD_EVERY_MS, MemoryWriter
from producer.classifier import classify
from producer.signals import detect
from router_api.directory import Directory
from router_api.metrics import Metrics
from router_api.picks import Pick, Picker, PickRequest
from router_api.reports import OutcomeReport, to_outcome
from router_api.routing.router import Router
from router_api.tokens import TurnTokens
from schemas.events import Outcome, Turn
from schemas.posterior import BetaPosterior
from schemas.request_types import GENERAL
from schemas.router_config import RouterConfig
from tests.factories import T0, configured

_TOKENS: Final = TurnTokens(["k" * 64])


class Installation:
    """Time passes only in `wait`. `emitted` holds every turn and outcome, in order."""

    def __init__(self, *routers: RouterConfig, replicas: int = 1, partitions: int = 4) -> None:
        self.now_ms = T0
        self.fold_every_ms = FOLD_EVERY_MS
        self.emitted: list[Turn | Outcome] = []
        self.writer: Final = MemoryWriter(partitions)
        self.replicas: Final = [Directory(partitions) for _ in range(replicas)]
        self._pickers = [self._picker(directory) for directory in self.replicas]
        self._numbers = count(1)
        self._folded = 0
        self._folded_at_ms = T0
        for router in routers:
            known = configured(router)
            self.writer.configure(known, T0)
            for directory in self.replicas:
                directory.apply_config(known)

    def _picker(self, directory: Directory) -> Picker:
        return Picker(
            find_router=directory.get,
            emit=lambda event, _traceparent: self.emitted.append(event),
            tokens=_TOKENS,
            classifier=classify,
            detector=detect,
            metrics=Metrics(),
            now_ms=lambda: self.now_ms,
            source="test",
        )

    def pick(self, router: str = "r", replica: int = 0, **fields: Any) -> Pick:
        """Ask a replica; a session of its own, and the type general, unless stated."""
        stated = {"session_id": f"session-{next(self._numbers)}", **fields}
        if "messages" not in stated:
            stated.setdefault("request_type", GENERAL)
        return self._pickers[replica].pick(router, PickRequest(**stated))

    def report(self, pick: Pick, **fields: Any) -> None:
        """Fields of an OutcomeReport, as a gateway sends them."""
        outcome = to_outcome(
            OutcomeReport(turn_token=pick.turn_token, **fields),
            path="outcomes.0",
            read_token=_TOKENS.read,
            find_router=self.replicas[0].routers.get,
            outcome_id=next(self._numbers).to_bytes(16, "big"),
            now_ms=self.now_ms,
            source="test",
        )
        self.emitted.append(outcome)

    def wait(self, ms: int) -> None:
        """Let time pass, and fold what is due."""
        self.now_ms += ms
        if self.now_ms - self._folded_at_ms >= self.fold_every_ms:
            self.fold()

    def fold(self) -> None:
        """Fold what has been emitted, and give every replica the snapshots."""
        self._folded_at_ms = self.now_ms
        new, self._folded = self.emitted[self._folded :], len(self.emitted)
        for snapshot in self.writer.write(new, self.now_ms):
            for directory in self.replicas:
                directory.apply_snapshot(snapshot, self.now_ms)

    def router(self, name: str = "r", replica: int = 0) -> Router:
        """A router as a replica has it."""
        return self.replicas[replica].get(name)

    def shares(
        self, name: str = "r", request_type: str = GENERAL, replica: int = 0
    ) -> Mapping[str, float]:
        """The chance of each arm, from all evidence that the replica has."""
        _, choices = self.router(name, replica).view(request_type, self.now_ms)
        return dict(zip(choices.table.arms, choices.table.probabilities, strict=True))

    def quality(self, name: str = "r", request_type: str = GENERAL) -> Sequence[BetaPosterior]:
        """The posterior of each arm."""
        view, _ = self.router(name).view(request_type, self.now_ms)
        return view.beliefs.quality


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ends: after so long, and with these fields of a report."""

    took_ms: float
    report: Mapping[str, Any]

    @classmethod
    def ok(cls, took_ms: float, **fields: Any) -> Answer:
        return cls(took_ms, {"status": "ok", "latency_ms": took_ms, **fields})


def closed_loop(
    installation: Installation,
    answer: Callable[[str, int], Answer],
    *,
    clients: int,
    requests: int,
    **pick: Any,
) -> list[str]:
    """Clients that call again when their call has ended: the arms of the first requests, in order.

    `answer` is given the arm and the number of the request.
    """
    order = count()
    agenda: list[tuple[int, int, Callable[[], None]]] = []
    called: list[str] = []

    def at(time_ms: float, what: Callable[[], None]) -> None:
        heapq.heappush(agenda, (round(time_ms), next(order), what))

    def begin() -> None:
        picked = installation.pick(**pick)
        ends = answer(picked.arm, len(called))
        called.append(picked.arm)
        at(installation.now_ms + ends.took_ms, partial(end, picked, ends))

    def end(picked: Pick, ends: Answer) -> None:
        installation.report(picked, **ends.report)
        begin()

    for _ in range(clients):
        at(installation.now_ms, begin)
    while len(called) < requests:
        time_ms, _, what = heapq.heappop(agenda)
        installation.wait(max(0, time_ms - installation.now_ms))
        what()
    return called[:requests]


def share(called: Sequence[str], arms: str | Iterable[str]) -> float:
    """The part of the calls that went to these arms."""
    wanted = {arms} if isinstance(arms, str) else set(arms)
    return sum(arm in wanted for arm in called) / len(called)
