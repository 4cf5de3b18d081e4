"""What can not be promoted, and a promote that is broken off: the live state stays as it was."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading

import pytest

from consumer.generations import generations, live
from consumer.rebuild import promote as promote_module
from consumer.rebuild import side
from consumer.rebuild.bounds import Bound
from consumer.rebuild.errors import RebuildRefused
from consumer.rebuild.promote import Promotion, Step, promote, rollback
from consumer.rebuild.rebuild import Servers
from schemas.topics import Topics
from tests.fixtures.servers import Servers as Stack
from tests.fixtures.switching import (
    CLEAN,
    LIVE,
    Installation,
    events,
    untouched,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def installed(stack: Stack, topics: Topics, database: str) -> Installation:
    return await Installation.rebuilt(stack, topics, database)


async def test_what_can_not_be_promoted_is_refused_and_changes_nothing(
    installed: Installation,
) -> None:
    made = installed
    ends = ",".join(f"{p}:{at - 1}" for p, at in (await made.ends()).items())
    await made.rebuild("short", until=Bound.parse(ends))
    await made.rebuild("broken")
    made.rows("routefold_broken", "UPDATE rebuild SET state = 'running' RETURNING 1")
    before = untouched(made)
    for name, message in (
        ("nobody", "there is no rebuild 'nobody'; there are: broken, clean, short"),
        ("Bad-Name", "can't be a rebuild's name"),
        ("live", "name of the live tables"),
        ("original", "name of the tables that were live first"),
        ("short", "made to end at .* without --until"),
        ("broken", "is not complete: run `routefold rebuild`"),
    ):
        with pytest.raises(RebuildRefused, match=message):
            await promote(made.servers, name)
    other = Servers(made.stack.bootstrap_servers, "other.events", made.dsn)
    with pytest.raises(RebuildRefused, match=r"is of .*, not of other\.events"):
        await promote(other, "clean")
    with pytest.raises(RebuildRefused, match="nothing to roll back to"):
        await rollback(made.servers)
    assert untouched(made) == before


async def test_the_live_rebuild_is_left_alone_and_the_former_kept_until_dropped(
    installed: Installation,
) -> None:
    made = installed
    await made.rebuild("plain")
    await promote(made.servers, "clean")
    with pytest.raises(RebuildRefused, match="is live already"):
        await promote(made.servers, "clean")
    with pytest.raises(RebuildRefused, match="'clean' is live: promote another, or roll back"):
        side.drop(made.dsn, "clean")
    with pytest.raises(RebuildRefused, match="'clean' is live"):
        await made.rebuild("clean", CLEAN)
    await promote(made.servers, "plain")
    assert [each.name for each in generations(made.dsn)] == ["original", "clean", "plain"]
    side.drop(made.dsn, "clean")
    with pytest.raises(RebuildRefused, match="'clean', which was live before, has been dropped"):
        await rollback(made.servers)
    await made.rebuild("clean")
    with pytest.raises(RebuildRefused, match="made anew since it was live"):
        await rollback(made.servers)
    side.drop(made.dsn, "clean")
    await made.rebuild("clean", CLEAN)
    names = [(await rollback(made.servers)).generation.name for _ in range(2)]
    assert names == ["clean", "original"]
    with pytest.raises(RebuildRefused, match="nothing to roll back to"):
        await rollback(made.servers)


async def test_of_two_at_once_one_is_refused(installed: Installation) -> None:
    made = installed
    await made.rebuild("plain")
    begun, others_tried = threading.Event(), threading.Event()

    def on_step(step: Step) -> None:
        if step is Step.CHECKED:
            begun.set()
            assert others_tried.wait(60)

    def first() -> Promotion:
        return asyncio.run(promote(made.servers, "clean", on_step))

    task = asyncio.create_task(asyncio.to_thread(first))
    assert await asyncio.to_thread(begun.wait, 60)
    for other in (promote(made.servers, "plain"), rollback(made.servers)):
        with pytest.raises(RebuildRefused, match="another promote or rollback is under way"):
            await other
    others_tried.set()
    assert (await task).generation.name == "clean"
    assert [each.name for each in generations(made.dsn)] == ["original", "clean"]


class BrokenOff(Exception):
    pass


async def test_broken_off_at_any_step_the_live_state_goes_on(installed: Installation) -> None:
    made = installed
    async with made.consuming() as task:
        for step in list(Step)[:-1]:

            def end(reached: Step, at: Step = step) -> None:
                if reached is at:
                    raise BrokenOff

            await made.publish(events(40, seed=10 + list(Step).index(step)))
            with pytest.raises(BrokenOff):
                await promote(made.servers, "clean", end)
            assert live(made.dsn).number == 0
            await made.all_folded()
            assert not task.done()
        assert made.evidence("routefold") == await made.counted_by_hand(LIVE)
        await promote(made.servers, "clean")
        await made.all_folded()
    assert made.evidence("routefold_clean") == await made.counted_by_hand(CLEAN)


KILLED = """
import asyncio, json, sys, time
from consumer.rebuild.promote import Step, promote
from consumer.rebuild.rebuild import Servers

def on_step(step):
    print(step, flush=True)
    if step is Step.RECORDED:
        time.sleep(60)

asyncio.run(promote(Servers(*json.loads(sys.argv[1])), "clean", on_step))
"""


async def test_killed_before_its_commit_it_has_changed_nothing(installed: Installation) -> None:
    made = installed
    servers = made.servers
    where = json.dumps([servers.bootstrap_servers, servers.topic, servers.postgres_dsn])
    async with made.consuming() as task:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED, where, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        while (await process.stdout.readline()).decode().strip() != Step.RECORDED:
            pass
        await made.publish(events(50, seed=7))
        process.send_signal(signal.SIGKILL)
        await process.wait()
        await made.all_folded()
        assert not task.done()
        assert live(made.dsn).number == 0
        assert made.evidence("routefold") == await made.counted_by_hand(LIVE)
        await promote(made.servers, "clean")
        await made.all_folded()
    assert made.evidence("routefold_clean") == await made.counted_by_hand(CLEAN)


async def test_it_gives_way_when_the_last_events_take_too_long(
    installed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commits of the live consumer are held for a moment only; then the catching up begins anew."""
    made = installed
    await made.publish(events(100, seed=8))
    async with made.consuming():
        await made.all_folded()
    tries: list[Step] = []

    def on_step(step: Step) -> None:
        tries.append(step)
        seconds = 30.0 if tries.count(Step.LOCKED) > 1 else 0.0
        monkeypatch.setattr(promote_module, "LOCKED_S", seconds)

    await promote(made.servers, "clean", on_step)
    assert tries.count(Step.LOCKED) == 2
    assert tries[-1] is Step.LIVE
    assert made.next_offsets("routefold_clean") == await made.ends()
