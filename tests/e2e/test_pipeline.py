"""Several replicas and consumers at once: exact counts through kills, repeats and races."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.topics import Topics
from tests.e2e.deployment import Deployment, call, until
from tests.e2e.recorded import write_log
from tests.fixtures.servers import Servers

pytestmark = pytest.mark.e2e

ROUTER = {
    "arms": [{"name": "good"}, {"name": "bad"}, {"name": "new", "tier": 1}],
    "request_types": ["writing"],
}


@pytest.fixture
def deployment(stack: Servers, topics: Topics, database: str) -> Iterator[Deployment]:
    running = Deployment(stack, topics, database)
    yield running
    running.close()


def states(urls: list[str], router: str) -> list[Any]:
    return [call(f"{url}/v1/routers/{router}/state") for url in urls]


def agree(urls: list[str], router: str, events: int) -> bool:
    """Every replica has seen all events of the router, and all give one digest."""
    found = states(urls, router)
    seen = [s["events"]["folded"] + s["events"]["duplicates"] for s in found]
    return seen == [events] * len(urls) and len({s["state_digest"] for s in found}) == 1


def test_two_replicas_and_two_consumers_agree_with_a_count_by_hand(
    deployment: Deployment, tmp_path: Path
) -> None:
    deployment.consumer()
    deployment.consumer()
    urls = [deployment.api(), deployment.api()]
    log = str(write_log(tmp_path))
    plays = [
        threading.Thread(
            target=deployment.run,
            args=("play", log, "--turns", "1500", "--url", url, "--json", "-"),
        )
        for url in urls
    ]
    for play in plays:
        play.start()
    for play in plays:
        play.join()
    routers = [router["name"] for router in call(f"{urls[0]}/v1/routers")["routers"]]
    assert len(routers) == 2
    for router in routers:
        until(lambda name=router: agree(urls, name, 3000))  # type: ignore[misc]
    deployment.assert_evidence_equals_the_log()


def test_a_killed_consumer_loses_and_repeats_nothing(
    deployment: Deployment, tmp_path: Path
) -> None:
    first = deployment.consumer()
    url = deployment.api()
    log = str(write_log(tmp_path))
    reports: list[Any] = []
    play = threading.Thread(
        target=lambda: reports.append(
            deployment.run("play", log, "--turns", "6000", "--url", url, "--json", "-")
        )
    )
    play.start()
    until(lambda: deployment.folded() > 1000)
    first.kill()
    killed_at = deployment.folded()
    deployment.consumer()
    play.join()
    assert 0 < killed_at < 12_000
    assert reports[0]["events"] == {
        "accepted": 12_000,
        "folded": 12_000,
        "duplicates": 0,
        "late": 0,
        "dead": 0,
    }
    deployment.assert_evidence_equals_the_log()


def test_facts_count_once_and_one_sided_cells_keep_their_prior(deployment: Deployment) -> None:
    consumer = deployment.consumer()
    url = deployment.api()
    call(f"{url}/v1/routers/chat", ROUTER, "PUT")
    until(lambda: bool(call(f"{url}/v1/routers")["routers"]))
    turns = 0
    for _ in range(40):
        pick = call(f"{url}/v1/routers/chat/picks", {"request_type": "writing"})
        turns += 1
        quality = {"good": 1.0, "bad": 0.0}.get(pick["arm"])
        if quality is not None:
            report = {"turn_token": pick["turn_token"], "scores": {"quality": quality}}
            for _ in range(5):
                assert call(f"{url}/v1/outcomes", report)["accepted"] == 1
            assert call(f"{url}/v1/outcomes", [report] * 3)["accepted"] == 3
    until(lambda: call(f"{url}/v1/routers/chat/state")["events"]["folded"] > turns)
    time.sleep(0.5)
    before = call(f"{url}/v1/routers/chat/state")
    cells = {cell["arm"]: cell for cell in before["cells"]}
    scored = {arm: cells[arm]["observations"] for arm in cells}
    assert scored["good"] > 0
    assert scored["bad"] > 0
    assert before["events"]["folded"] == turns + scored["good"] + scored["bad"]
    assert before["events"]["duplicates"] == 7 * (scored["good"] + scored["bad"])
    # prior + evidence, never evidence alone: one side keeps exactly its prior
    assert cells["good"]["alpha"] == pytest.approx(3 + scored["good"])
    assert cells["good"]["beta"] == pytest.approx(2)
    assert cells["bad"]["alpha"] == pytest.approx(3)
    assert cells["bad"]["beta"] == pytest.approx(2 + scored["bad"])
    assert (cells["new"]["alpha"], cells["new"]["beta"]) == pytest.approx((2, 3))

    consumer.terminate()
    consumer.wait(15)
    deployment.consumer()
    fresh = deployment.api()
    after = call(f"{fresh}/v1/routers/chat/state")
    assert after["state_digest"] == before["state_digest"]
    assert _beliefs(after) == _beliefs(before)
    pick = call(f"{fresh}/v1/routers/chat/picks", {"request_type": "writing"})
    assert pick["snapshot"]["version"] == before["snapshot"]["writing"]


def _beliefs(state: Any) -> list[dict[str, Any]]:
    """The cells of a state, without their age, which goes on."""
    return [{name: of for name, of in cell.items() if name != "age_ms"} for cell in state["cells"]]


def test_thanks_reach_the_arm_that_earned_them_whichever_replica_hears_them(
    deployment: Deployment,
) -> None:
    deployment.consumer()
    urls = [deployment.api(), deployment.api()]
    config = {**ROUTER, "rewards": {"quality": 1.0, "satisfaction": 0.8}}
    call(f"{urls[0]}/v1/routers/chat", config, "PUT")
    until(lambda: all(call(f"{url}/v1/routers")["routers"] for url in urls))
    messages = [{"role": "user", "content": "Write a short poem about rain, please."}]
    said = ["Make it rhyme.", "Thank you so much, that is exactly what I wanted!"]
    picks = []
    for number in range(3):
        body = {"session_id": "s-1", "request_type": "writing", "messages": messages}
        picks.append(call(f"{urls[number % 2]}/v1/routers/chat/picks", body))
        if number < 2:
            time.sleep(0.2)  # an answer takes its time; a turn is in the log within milliseconds
            messages = [
                *messages,
                {"role": "assistant", "content": f"Verse {number}: soft rain on the roof."},
                {"role": "user", "content": said[number]},
            ]

    def thanked() -> dict[str, float]:
        cells = call(f"{urls[1]}/v1/routers/chat/state")["cells"]
        return {
            cell["arm"]: cell["metrics"]["satisfaction"]["n"]
            for cell in cells
            if "satisfaction" in cell["metrics"]
        }

    until(lambda: bool(thanked()))
    assert thanked() == {picks[1]["arm"]: pytest.approx(1.0)}
    deployment.assert_evidence_equals_the_log()
