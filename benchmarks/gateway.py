"""What a gateway sends: a router's configuration, picks, and outcomes in batches."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from uuid_utils import uuid7

from benchmarks.loadgen import http_request
from schemas.request_types import REQUEST_TYPES

ROUTER: Final = "bench"
_TIERS: Final = (1, 2, 3)
CHAT_BYTES: Final = 900
# Live at a time. Few enough that most turns of a run find their session's arm decided before.
_SESSIONS: Final = 2_000
_PROMPTS: Final = Path(__file__).parents[1] / "tests/unit/producer/labelled_prompts.json"


def router_config(arms: int = 8) -> dict[str, Any]:
    """A router with `arms` priced arms of all tiers, and the default of everything else."""
    return {
        "router": ROUTER,
        "arms": [
            {
                "name": f"model-{index}",
                "tier": _TIERS[index % len(_TIERS)],
                "price": {"usd_per_1m_in": 0.1 * (1 + index), "usd_per_1m_out": 0.5 * (1 + index)},
            }
            for index in range(arms)
        ],
    }


def chats(count: int, rng: random.Random) -> list[list[dict[str, str]]]:
    """Messages to classify, CHAT_BYTES of the user's text each: prompts of one type in a row.

    Denser in cues, and in languages, than one request of that length: twice the work to classify.
    """
    prompts: Mapping[str, Sequence[str]] = json.loads(_PROMPTS.read_text())
    kinds = list(prompts)
    found = []
    for _ in range(count):
        of_kind = prompts[rng.choice(kinds)]
        text = b""
        while len(text) < CHAT_BYTES:
            text += rng.choice(of_kind).encode() + b"\n"
        content = text[:CHAT_BYTES].decode(errors="ignore")
        found.append([{"role": "user", "content": content}])
    return found


def pick_request(rng: random.Random, **fields: object) -> bytes:
    """A pick of a session; `fields` say what the request is: its type, or its messages."""
    body = {"session_id": f"session-{rng.randrange(_SESSIONS)}", **fields}
    return http_request("POST", f"/v1/routers/{ROUTER}/picks", body)


def typed_pick(rng: random.Random) -> bytes:
    """A pick of a gateway that knows the request type."""
    return pick_request(rng, request_type=rng.choice(REQUEST_TYPES))


def outcome(turn_token: str, rng: random.Random) -> dict[str, Any]:
    """How a call went, and what its answer was worth, with an id of its own."""
    return {
        "turn_token": turn_token,
        "outcome_id": str(uuid7()),
        "completion": {
            "status": "ok" if rng.random() < 0.97 else "error",
            "latency_ms": round(rng.lognormvariate(6.5, 0.5), 1),
            "ttft_ms": round(rng.lognormvariate(5.5, 0.5), 1),
            "tokens_in": rng.randrange(50, 4000),
            "tokens_out": rng.randrange(10, 1000),
            "cost_usd": round(rng.random() / 100, 6),
        },
        "scores": {"quality": round(rng.random(), 3)},
    }


class Gateway:
    """Picks, each followed by its outcome in the next full batch; the callbacks of `run_load`.

    Without `batch` nothing is reported: picks alone.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        batch: int | None,
        on_pick: Callable[[Mapping[str, Any]], object] = lambda _: None,
        on_accepted: Callable[[Sequence[str]], object] = lambda _: None,
    ) -> None:
        """`on_pick` is given each pick's answer, `on_accepted` the outcome ids of each batch when
        it was accepted."""
        self.picks = 0
        self.batch: Final = batch
        self._rng = rng
        self._on_pick = on_pick
        self._on_accepted = on_accepted
        self._outcomes: list[dict[str, Any]] = []
        self._sent: set[int] = set()

    def request(self, number: int) -> bytes:
        """Outcomes when there is a batch of them, else a pick."""
        if self.batch is None or len(self._outcomes) < self.batch:
            return typed_pick(self._rng)
        batch, self._outcomes = self._outcomes[: self.batch], self._outcomes[self.batch :]
        self._sent.add(number)
        return http_request("POST", "/v1/outcomes", batch)

    def answered(self, number: int, status: int, body: bytes) -> None:
        """Take note of an answer; those that are no success are `run_load`'s to count."""
        is_batch = number in self._sent
        self._sent.discard(number)
        if not 200 <= status < 300:
            return
        answer = json.loads(body)
        if is_batch:
            self._on_accepted(answer["outcome_ids"])
            return
        self.picks += 1
        self._on_pick(answer)
        if self.batch is not None:
            self._outcomes.append(outcome(answer["turn_token"], self._rng))


def batches(turn_tokens: Sequence[str], size: int, rng: random.Random) -> list[bytes]:
    """Requests with `size` outcomes each, one for every token; what does not fill one is left."""
    return [
        http_request(
            "POST",
            "/v1/outcomes",
            [outcome(token, rng) for token in turn_tokens[start : start + size]],
        )
        for start in range(0, len(turn_tokens) - size + 1, size)
    ]
