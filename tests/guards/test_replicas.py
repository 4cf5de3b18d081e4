"""What one replica is told, all of them know."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.learner import FOLD_EVERY_MS
from router_api.routing.router import MIN_REBUILD_INTERVAL_MS
from schemas.topics import Topics
from tests.e2e.deployment import Deployment, call, until
from tests.factories import config
from tests.fixtures.servers import Servers
from tests.guards.installation import Installation, share

ARMS = {"arms": [{"name": "good"}, {"name": "bad"}], "request_types": ["writing"]}
TYPE = {"request_type": "writing"}


def test_feedback_told_to_one_replica_changes_the_next_picks_of_another() -> None:
    """The other hears nothing but snapshots, and changes its picks when the next one is due."""
    installation = Installation(config(arms=("good", "bad")), replicas=2)
    before = [installation.pick(replica=1).arm for _ in range(200)]
    for _ in range(80):
        pick = installation.pick(replica=0)
        installation.report(pick, scores={"quality": float(pick.arm == "good")})
    installation.wait(max(FOLD_EVERY_MS, MIN_REBUILD_INTERVAL_MS))
    after = [installation.pick(replica=1).arm for _ in range(200)]
    assert share(before, "bad") > 0.4
    assert share(after, "bad") < 0.02


@pytest.fixture
def deployment(stack: Servers, topics: Topics, database: str) -> Iterator[Deployment]:
    running = Deployment(stack, topics, database)
    yield running
    running.close()


@pytest.mark.e2e
def test_feedback_told_to_one_replica_changes_the_picks_of_another_on_real_servers(
    deployment: Deployment,
) -> None:
    deployment.consumer()
    told, other = deployment.api(), deployment.api()
    call(f"{told}/v1/routers/chat", ARMS, "PUT")
    until(lambda: bool(call(f"{other}/v1/routers")["routers"]))

    def arms_of(url: str) -> list[str]:
        picks = [
            call(f"{url}/v1/routers/chat/picks", {"session_id": f"s{i}", **TYPE}) for i in range(60)
        ]
        return [str(pick["arm"]) for pick in picks]

    before = arms_of(other)
    for _ in range(60):
        pick = call(f"{told}/v1/routers/chat/picks", TYPE)
        quality = float(pick["arm"] == "good")
        report = {"turn_token": pick["turn_token"], "scores": {"quality": quality}}
        assert call(f"{told}/v1/outcomes", report)["accepted"] == 1
    until(lambda: share(arms_of(other), "bad") < 0.05)
    assert share(before, "bad") > 0.25
    assert arms_of(other) == arms_of(told)
