"""A picker over a directory in memory, with all that it emits; a test states only what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from producer.classifier import RequestClassifier
from router_api.directory import Directory
from router_api.metrics import Metrics
from router_api.picks import Picker, PickRequest
from router_api.reactions import SignalDetector
from router_api.tokens import TurnTokens
from tests.factories import config, configured
from tests.snapshots import AS_OF_MS

Messages = Sequence[Mapping[str, object]]
TOKENS = TurnTokens(["k" * 64])
NOW_MS = AS_OF_MS + 5000


class Replica:
    """A picker over a directory, with all that it emits."""

    def __init__(
        self, classifier: RequestClassifier, detector: SignalDetector, **fields: Any
    ) -> None:
        self.directory = Directory()
        self.directory.apply_config(configured(config(**fields), version=4))
        self.emitted: list[tuple[Any, str | None]] = []
        self.metrics = Metrics()
        self._picker = Picker(
            find_router=self.directory.get,
            emit=lambda event, traceparent: self.emitted.append((event, traceparent)),
            tokens=TOKENS,
            classifier=classifier,
            detector=detector,
            metrics=self.metrics,
            now_ms=lambda: NOW_MS,
            source="api@test",
        )

    def pick(self, router: str = "r", **fields: Any) -> Any:
        return self._picker.pick(router, PickRequest(**fields))

    def count(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def always_writing(messages: Messages) -> str:
    return "writing"


def silent(messages: Messages) -> tuple[str, ...]:
    return ()


def thankful(messages: Messages) -> tuple[str, ...]:
    return ("satisfaction", "failure")


def replica(
    classifier: RequestClassifier = always_writing,
    detector: SignalDetector = silent,
    **fields: Any,
) -> Replica:
    return Replica(classifier, detector, **fields)
