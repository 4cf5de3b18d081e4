"""LiteLLM's lowest-latency routing, driven by its own recorder and its own choice."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any, Final

_GROUP: Final = "model"
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class LiteLLMLowestLatency:
    """Its defaults: the mean of the last ten calls, no buffer. Raises ImportError without it."""

    def __init__(self, seed: int, deployments: tuple[str, ...]) -> None:
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no download on import
        strategy = import_module("litellm.router_strategy.lowest_latency")
        cache = import_module("litellm.caching.caching")
        random.seed(seed)  # it draws from the global generator
        self._handler = strategy.LowestLatencyLoggingHandler(router_cache=cache.DualCache())
        self._deployments = [
            {"model_info": {"id": name}, "litellm_params": {"model": name}} for name in deployments
        ]

    def pick(self, _client: int, now_ms: int) -> tuple[str, Any]:
        chosen = self._handler.get_available_deployments(
            model_group=_GROUP, healthy_deployments=self._deployments, request_kwargs={}
        )
        return chosen["model_info"]["id"], now_ms

    def ended(self, call: Any, deployment: str, latency_ms: float, _now_ms: int) -> None:
        begun = _START + timedelta(milliseconds=call)
        self._handler.log_success_event(
            {
                "litellm_params": {
                    "metadata": {"model_group": _GROUP},
                    "model_info": {"id": deployment},
                }
            },
            None,
            begun,
            begun + timedelta(milliseconds=latency_ms),
        )
