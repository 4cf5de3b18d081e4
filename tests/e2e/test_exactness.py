"""Kills, repeats, late outcomes and retractions at once: every way to fold the log gives the same.

`make bench BENCH=exactness` does this at full size.
"""

from __future__ import annotations

import pytest

from consumer.rebuild import side
from consumer.rebuild.contents import digest_of_all
from consumer.rebuild.rebuild import Pace, Servers
from schemas.topics import Topics
from tests.e2e.deployment import Deployment
from tests.fixtures.by_hand import count_by_hand
from tests.fixtures.kills import fold_under_kills
from tests.fixtures.long_play import long_play
from tests.fixtures.pipeline import publish
from tests.fixtures.rebuilding import Event, run
from tests.fixtures.servers import Servers as Stack

pytestmark = pytest.mark.e2e


async def test_killed_consumers_a_count_by_hand_and_rebuilds_agree(
    stack: Stack, topics: Topics, database: str
) -> None:
    deployment = Deployment(stack, topics, database)

    async def publish_all(events: list[Event]) -> None:
        await publish(stack.bootstrap_servers, topics, events)

    # 360 turns in an attribution window, so there are eight windows
    play = long_play(3_000, step_ms=10_000)
    events, crew = await fold_under_kills(
        play, publish_all, database, deployment.consumer, kill_every=2_000
    )
    assert crew.killed >= 3

    live = side.read_contents(database, side.LIVE)
    fates = {
        name: sum(getattr(each.progress, name) for each in live.values())
        for name in ("folded", "duplicates", "late", "dead")
    }
    assert sum(fates.values()) == events
    assert all(fates.values()), "the play must have all of them"

    counted = await count_by_hand(stack.bootstrap_servers, topics)
    assert {p: counted[p].differences(live[p]) for p in live} == {p: [] for p in counted}

    servers = Servers(stack.bootstrap_servers, topics.events, database)
    for name, pace in (
        ("one", Pace(workers=1, batch_events=311)),
        ("two", Pace(workers=2, checkpoint_events=1_000)),
    ):
        assert (await run(servers, name, pace=pace)).digest == digest_of_all(live).hex()
    verdict = deployment.run("verify", "--json", "-")
    assert verdict["equal"]
    assert verdict["digest"]["live"] == digest_of_all(live).hex()
