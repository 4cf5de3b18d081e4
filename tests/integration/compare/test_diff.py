"""`routefold diff` on real servers: a rebuild with other reward weights against the live state."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import pytest

from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.rebuild import Pace, Servers, rebuild
from consumer.rebuild.settings import RebuildSettings
from routefold.compare.diff import diff
from schemas.topics import Topics
from tests.factories import T0, config, configured, traffic
from tests.fixtures.pipeline import consuming, eventually, folded, publish
from tests.fixtures.servers import Servers as Stack

pytestmark = pytest.mark.integration

ARMS = ("a", "b", "c")
TURNS = 400
CONFIG = config(arms=ARMS, request_types=("general", "writing"), rewards={"quality": 1.0})


@pytest.fixture
async def servers(stack: Stack, topics: Topics, database: str) -> Servers:
    """A log that the live consumer has folded, and two rebuilds of it."""
    log = list(traffic(TURNS, random.Random(1), arms=ARMS, start_ms=T0))
    await publish(stack.bootstrap_servers, topics, [configured(CONFIG), *log])
    async with consuming(stack.bootstrap_servers, database, topics):
        await eventually(lambda: folded(database) >= len(log), timeout_s=60)
    installed = Servers(stack.bootstrap_servers, topics.events, database)
    weights = RebuildSettings.make(rewards={"r": {"quality": 0.0}})
    for name, settings in (("same", RebuildSettings()), ("priors", weights)):
        await rebuild(installed, name, settings, None, None, Pace(workers=1), lambda _: None)
    return installed


async def test_the_same_state_flips_nothing_and_other_rewards_do(servers: Servers) -> None:
    same = await diff(servers, "live", "same", 1000, lambda _: None)
    assert same.left.digest == same.right.digest
    assert same.same_offsets
    assert (len(same.cells), same.changed) == (6, 0)
    assert (same.flips["r"].turns, same.flips["r"].flipped) == (TURNS, 0)
    # without a reward nothing is learned but health: every arm has about a third of the picks
    priors = await diff(servers, "live", "priors", 100, lambda _: None)
    assert priors.changed == 0
    assert priors.flips["r"].turns == 100
    assert priors.flips["r"].flipped > 0
    for cell in priors.cells:
        assert cell.right is not None
        assert cell.right.probability == pytest.approx(1 / 3, abs=0.05)
    without = await diff(servers, "live", "priors", 0, lambda _: None)
    assert without.flips == {}
    with pytest.raises(RebuildRefused, match="there is no rebuild 'other'"):
        await diff(servers, "other", "live", 0, lambda _: None)


def test_the_command(servers: Servers, topics: Topics) -> None:
    environment = {
        **os.environ,
        "ROUTEFOLD_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "ROUTEFOLD_POSTGRES_DSN": servers.postgres_dsn,
        "ROUTEFOLD_TOPIC_PREFIX": topics.prefix,
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "routefold", "diff", *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=environment, check=False
        )

    printed = run("live", "priors")
    assert printed.returncode == 0, printed.stderr
    assert "0 of 6 cells have other evidence" in printed.stdout
    assert f"of {TURNS} logged turns would go to another arm" in printed.stdout
    document = json.loads(run("live", "priors", "--json", "-").stdout)
    assert document["cells"] == len(document["by_cell"]) == 6
    assert 0 < document["share_of_turns_flipped"] <= 1
    unknown = run("live", "nothing")
    assert unknown.returncode == 2
    assert "there is no rebuild 'nothing'; there are: priors, same" in unknown.stderr
