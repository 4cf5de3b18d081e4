"""Two replicas on real Kafka and Postgres: their picks audited, explained, and valued anew."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from routefold.audit.audit import audit
from routefold.audit.collect import Selection
from routefold.audit.explain import explain
from routefold.errors import Failure
from router_api.service import OutcomeReport, Pick, PickRequest, RoutingService
from router_api.tokens import TurnTokens
from schemas.router_config import RouterConfig
from schemas.topics import Topics
from tests.fixtures.pipeline import consuming, eventually, folded
from tests.fixtures.servers import Servers

pytestmark = pytest.mark.integration

TURNS = 400
WORTH = {"large": 0.9, "small": 0.4, "extra": 0.5}
CONFIG = {
    "router": "chat",
    "arms": [
        {"name": "large", "price": {"usd_per_request": 0.02}},
        {"name": "small", "price": {"usd_per_request": 0.01}},
    ],
    "request_types": ["code_generation", "general"],
    "weights": {"quality": 0.6, "cost": 0.2, "latency": 0.2},
    "rewards": {"quality": 1.0},
    "min_probability": 0.2,
}


@dataclass(frozen=True)
class Played:
    """Where the log is, and what is known of it."""

    servers: Servers
    topics: Topics
    picks: list[Pick]

    async def run(self, *arguments: str, cwd: Path) -> tuple[int, str, str]:
        """The command line, as a process: exit code, standard output, standard error."""
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("ROUTEFOLD_")},
            "ROUTEFOLD_BOOTSTRAP_SERVERS": self.servers.bootstrap_servers,
            "ROUTEFOLD_TOPIC_PREFIX": self.topics.prefix,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "routefold", *arguments),
            cwd=cwd,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@asynccontextmanager
async def two_replicas(servers: Servers, topics: Topics) -> AsyncIterator[list[RoutingService]]:
    replicas = [
        RoutingService(
            bootstrap_servers=servers.bootstrap_servers,
            topics=topics,
            tokens=TurnTokens(["k" * 64]),
            source=f"replica-{number}",
        )
        for number in range(2)
    ]
    try:
        for replica in replicas:
            await replica.start()
            assert await replica.wait_ready(20)
        yield replicas
    finally:
        for replica in replicas:
            await replica.stop(2.0)


def with_extra_arm() -> RouterConfig:
    extra = {"name": "extra", "price": {"usd_per_request": 0.015}}
    return RouterConfig.model_validate({**CONFIG, "arms": [*CONFIG["arms"], extra]})  # type: ignore[misc]


async def play(replicas: list[RoutingService], rng: random.Random) -> list[Pick]:
    """Turns of sessions that change replicas; each outcome before the session goes on. An arm
    comes and goes meanwhile."""
    picks = []
    for number in range(TURNS):
        if number in (TURNS // 3, TURNS * 2 // 3):
            config = RouterConfig.model_validate(CONFIG)
            await replicas[0].put_router(with_extra_arm() if number < TURNS // 2 else config)
        replica = rng.choice(replicas)
        pick = replica.pick(
            "chat",
            PickRequest(
                session_id=f"s{number // 2}",
                request_type=rng.choice(CONFIG["request_types"]),  # type: ignore[arg-type]
            ),
        )
        picks.append(pick)
        report = OutcomeReport(
            turn_token=pick.turn_token,
            outcome_id=uuid4(),
            status="ok",
            latency_ms=rng.lognormvariate(6, 0.3),
            cost_usd=0.02 if pick.arm == "large" else 0.01,
            scores={"quality": float(rng.random() < WORTH[pick.arm])},
        )
        await rng.choice(replicas).record([report])
        await asyncio.sleep(0.004)
    return picks


@pytest.fixture
async def played(stack: Servers, topics: Topics, database: str) -> Played:
    """A log of some hundred picks, all folded while they were made."""
    config = RouterConfig.model_validate(CONFIG)
    async with (
        consuming(stack.bootstrap_servers, database, topics),
        two_replicas(stack, topics) as replicas,
    ):
        await replicas[0].put_router(config)
        await eventually(lambda: len(replicas[1].routers()) == 1)
        picks = await play(replicas, random.Random(1))
        await eventually(lambda: folded(database) == 2 * TURNS)
    return Played(stack, topics, picks)


async def test_every_pick_can_be_made_again_and_explained(played: Played, tmp_path: Path) -> None:
    report = await audit(played.servers.bootstrap_servers, played.topics, Selection())
    assert (report.picks, report.equal) == (TURNS, TURNS), report.examples
    assert report.states > 10, "the replicas learned between their picks"

    last = played.picks[-1]
    found = await explain(played.servers.bootstrap_servers, played.topics, last.turn_id)
    assert found.turn.arm == last.arm
    assert found.turn.probability == last.probability
    assert found.differs == ""
    chances = {part.name: part.probability for part in found.parts}
    assert chances[last.arm] == last.probability
    assert sum(chances.values()) == pytest.approx(1.0)
    assert {lever.kind for lever in found.levers} >= {"bad observations", "good observations"}
    assert found.moved
    earlier = {pick.turn_id for pick in played.picks[:-1] if pick.arm == last.arm}
    assert {each.turn_id for each in found.moved} <= earlier
    (outcome,) = found.found.outcomes
    assert outcome.status == "ok"

    with pytest.raises(Failure, match="no turn"):
        await explain(played.servers.bootstrap_servers, played.topics, uuid4())

    # the examples of the commands' --help, as they stand there
    code, out, _ = await played.run("audit", "--last", "10000", "--json", "-", cwd=tmp_path)
    assert code == 0
    assert json.loads(out)["equal"] == TURNS
    code, out, _ = await played.run("explain", str(last.turn_id), "--json", "-", cwd=tmp_path)
    assert code == 0
    assert json.loads(out)["equal"] is True
    code, out, _ = await played.run("explain", str(last.turn_id), cwd=tmp_path)
    assert code == 0
    assert "the same, to the last bit" in out


async def test_another_policy_is_valued_or_refused(played: Played, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    # the policy of the command's --help
    policy.write_text(
        "shares: {large: 0.2, small: 0.8}\nby_type:\n  code_generation: {large: 1.0}\n"
    )
    code, out, err = await played.run(
        *("evaluate", "--policy", "policy.yaml", "--metric", "quality", "--metric", "cost_usd"),
        *("--json", "-"),
        cwd=tmp_path,
    )
    assert code == 0, out + err
    found = json.loads(out)
    assert found["turns"] == TURNS
    code_turns = sum(pick.request_type == "code_generation" for pick in played.picks) / TURNS
    large = code_turns + 0.2 * (1 - code_turns)
    truth = large * WORTH["large"] + (1 - large) * WORTH["small"]
    assert_near(found, "quality", truth, standard_errors=4)
    cost = found["metrics"]["cost_usd"]["values"]["doubly_robust"]["value"]
    assert cost == pytest.approx(0.02 * large + 0.01 * (1 - large), abs=0.001)

    code, out, _ = await played.run("evaluate", "--policy", "policy.yaml", cwd=tmp_path)
    assert code == 0
    assert "doubly robust" in out

    # a router, as it would pick now: with such a floor each arm has 45 to 55 %
    (tmp_path / "router.json").write_text(json.dumps({**CONFIG, "min_probability": 0.45}))
    code, out, err = await played.run(
        "evaluate", "--policy", "router.json", "--metric", "cost_usd", "--json", "-", cwd=tmp_path
    )
    assert code == 0, out + err
    cost = json.loads(out)["metrics"]["cost_usd"]["values"]["doubly_robust"]["value"]
    assert 0.0144 < cost < 0.0156

    await refusals(played, tmp_path)


async def refusals(played: Played, tmp_path: Path) -> None:
    """What can't be told (1), and what is wrong with a file (2)."""
    router = {**CONFIG, "arms": [*CONFIG["arms"], {"name": "new", "tier": 3}]}  # type: ignore[misc]
    (tmp_path / "router.json").write_text(json.dumps(router))
    code, out, _ = await played.run("evaluate", "--policy", "router.json", cwd=tmp_path)
    assert code == 1
    assert "can't be told" in out
    assert "'new'" in out
    for text, field in (
        ("shares: {huge: 1.0}", "shares.huge"),
        ("by_type: {poetry: {large: 1.0}}", "by_type.poetry"),
    ):
        (tmp_path / "policy.yaml").write_text(text)
        code, _, err = await played.run("evaluate", "--policy", "policy.yaml", cwd=tmp_path)
        assert code == 2, err
        assert field in err


def assert_near(found: Any, metric: str, truth: float, standard_errors: float) -> None:
    """So near, with an error that is no wider than useful."""
    for name in ("snips", "doubly_robust"):
        estimate = found["metrics"][metric]["values"][name]
        reach = standard_errors * estimate["standard_error"]
        assert estimate["value"] == pytest.approx(truth, abs=reach)
        assert estimate["standard_error"] < 0.1
