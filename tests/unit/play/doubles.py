"""A router in memory that behaves as a gateway promises, and rows to play on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from routefold.play.errors import GatewayError, UnknownRouter
from routefold.play.gateway import Picked, PlayedOutcome
from schemas.router_config import RouterConfig

Row = dict[str, Any]
Choose = Callable[[RouterConfig, str, str], str]


def row(rtype: str | None = "general", prompt: str | None = None, /, **arms: Any) -> Row:
    """A row; an arm's outcome may be just its y."""
    outcomes = {
        arm: of if isinstance(of, Mapping) else {"y": of, "usd": 0.01} for arm, of in arms.items()
    }
    return {"id": "x", "rtype": rtype, "prompt": prompt, "r": outcomes}


class MemoryGateway:
    """Counts every event once and folds `fold_per_poll` of them each time its state is read."""

    def __init__(self, choose: Choose, fold_per_poll: int = 10**9) -> None:
        self.choose = choose
        self.fold_per_poll = fold_per_poll
        self.configs: dict[str, RouterConfig] = {}
        self.sessions: dict[str, list[str]] = {}  # session id: its tokens, in order
        self.prompts: list[str | None] = []
        self.folded_outcomes: dict[UUID, PlayedOutcome] = {}
        self.batches: list[int] = []
        self.open_sessions = 0
        self.most_open_sessions = 0
        self.errors: list[GatewayError | None] = []  # for the next calls of `outcomes`
        self.pick_errors: list[GatewayError | None] = []
        self.settled_before = 0  # counts of a router that has a past
        self.dead = 0
        self.settled = 0
        self.lost = 0  # events that never arrive at the fold

    @property
    def events(self) -> int:
        turns = sum(len(tokens) for tokens in self.sessions.values())
        return max(0, turns + len(self.folded_outcomes) - self.lost)

    async def put_router(self, config: RouterConfig) -> int:
        self.configs[config.router] = config
        return 1

    async def pick(
        self, router: str, *, session_id: str, request_type: str | None, prompt: str | None
    ) -> Picked:
        self.open_sessions += 1
        self.most_open_sessions = max(self.most_open_sessions, self.open_sessions)
        await asyncio.sleep(0)
        self.open_sessions -= 1
        if self.pick_errors and (error := self.pick_errors.pop(0)):
            raise error
        kind = request_type or ("writing" if prompt and "poem" in prompt else "general")
        tokens = self.sessions.setdefault(session_id, [])
        token = f"{session_id}/{len(tokens)}"
        tokens.append(token)
        self.prompts.append(prompt)
        return Picked(token, self.choose(self.configs[router], kind, session_id), kind)

    async def outcomes(self, outcomes: Sequence[PlayedOutcome]) -> int:
        await asyncio.sleep(0)
        self.batches.append(len(outcomes))
        for each in outcomes:  # taken over even where the answer is lost below
            self.folded_outcomes[each.outcome_id] = each
        if self.errors and (error := self.errors.pop(0)):
            raise error
        return len(outcomes)

    async def state(self, router: str) -> Mapping[str, Any]:
        if router not in self.configs:
            raise UnknownRouter(f"no router {router}")
        self.settled = min(self.settled + self.fold_per_poll, self.events)
        return {
            "router": router,
            "version": 1,
            "config": self.configs[router].model_dump(mode="json"),
            "state_digest": "d1",
            "events": {
                "folded": self.settled_before + self.settled - self.dead,
                "duplicates": 7,
                "late": 5,
                "dead": 3 + self.dead,
            },
            "freshness_ms": {"p50": 12.0, "p99": 30.0, "samples": 4},
        }
