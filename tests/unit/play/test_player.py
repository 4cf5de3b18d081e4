"""A whole play on a router in memory: what is sent, what is counted, and how it ends."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from routefold.play.errors import GatewayError, LogError, Unavailable
from routefold.play.log import read_log
from routefold.play.options import PlayOptions
from routefold.play.player import play
from routefold.play.report import Events
from schemas.router_config import RouterConfig
from tests.unit.play.doubles import MemoryGateway, Row, row

WriteLog = Callable[..., Path]


def first_arm(config: RouterConfig, *_: str) -> str:
    return config.arm_names[0]


def some_rows(count: int = 40) -> list[Row]:
    """Arm a is good at sql, b at writing; a is the dearer one."""
    rng = random.Random(5)
    return [
        row(
            kind := ("sql", "writing")[i % 2],
            a={"y": float(rng.random() < (0.9 if kind == "sql" else 0.2)), "usd": 0.02},
            b={"y": float(rng.random() < (0.2 if kind == "sql" else 0.9)), "usd": 0.01},
        )
        for i in range(count)
    ]


async def test_one_pass_posts_each_rows_outcome_of_the_picked_arm(
    write_log: WriteLog, console: Console
) -> None:
    failed = {"y": 0.0, "usd": 0.5, "in": 7, "out": 2, "lat_s": 0.25, "err": 1}
    path = write_log(
        [row("sql", a={"y": i / 16, "usd": 0.01}) for i in range(16)] + [row("sql", a=failed)]
    )
    gateway = MemoryGateway(first_arm)
    report = await play(path, gateway, PlayOptions(), console)

    posted = list(gateway.folded_outcomes.values())
    assert sorted(each.quality for each in posted if not each.failed) == [i / 16 for i in range(16)]
    (error,) = [each for each in posted if each.failed]
    assert (error.status, error.latency_ms, error.tokens_in, error.tokens_out, error.cost_usd) == (
        "error", 250.0, 7, 2, 0.5,
    )  # fmt: skip
    assert {each.status for each in posted if each is not error} == {"ok"}
    assert {each.turn_token for each in posted} == {
        token for tokens in gateway.sessions.values() for token in tokens
    }
    assert report.turns == 17
    assert report.complete
    assert report.problem is None


async def test_the_report_says_what_the_picked_arms_earned(
    write_log: WriteLog, console: Console
) -> None:
    path = write_log(some_rows())
    log = read_log(path)

    def by_type(config: RouterConfig, kind: str, session: str) -> str:
        return "a" if kind == "sql" else "b"

    report = await play(path, MemoryGateway(by_type), PlayOptions(turns=80), console)

    sql, writing = log.reward[0::2], log.reward[1::2]
    earned = float(sql[:, 0].mean() + writing[:, 1].mean()) / 2
    assert report.reward.mean == pytest.approx(earned)
    assert report.reward.per_type_oracle == pytest.approx(earned)
    assert report.reward.uniform == pytest.approx(log.reward.mean())
    assert report.reward.best_single == pytest.approx(log.reward.mean(axis=0).max())
    # a is the dearest arm and b the cheapest: cheapness 0 and 1
    assert report.utility.mean == pytest.approx(0.7 * earned + 0.3 * 0.5)
    assert report.utility.uniform == pytest.approx(0.7 * log.reward.mean() + 0.3 * 0.5)
    assert report.utility.best_single == pytest.approx(0.7 * log.reward.mean(axis=0)[1] + 0.3)
    assert report.cost_usd == pytest.approx(40 * 0.02 + 40 * 0.01)
    assert report.shares == {"sql": {"a": 1.0, "b": 0.0}, "writing": {"a": 0.0, "b": 1.0}}
    assert report.type_turns == {"sql": 40, "writing": 40}
    assert (report.freshness_ms.p50, report.freshness_ms.p99) == (12.0, 30.0)
    assert report.state_digest == "d1"
    assert report.pick_latency_us.p50 is not None
    assert report.pick_latency_us.p99 is not None
    assert 0 < report.pick_latency_us.p50 <= report.pick_latency_us.p99


async def test_quarters_follow_the_order_of_play(write_log: WriteLog, console: Console) -> None:
    path = write_log([row("sql", good=1.0, bad=0.0)])
    picks = 0

    def improving(config: RouterConfig, *_: str) -> str:
        nonlocal picks
        picks += 1
        return "bad" if picks <= 50 else "good"

    options = PlayOptions(turns=100, sessions=1)
    report = await play(path, MemoryGateway(improving), options, console)
    assert report.reward.by_quarter == (0.0, 0.0, 1.0, 1.0)
    assert report.reward.mean == 0.5


async def test_sessions_run_at_the_same_time_and_never_share_an_id(
    write_log: WriteLog, console: Console
) -> None:
    gateway = MemoryGateway(first_arm)
    path = write_log(some_rows())
    for _ in range(2):
        await play(path, gateway, PlayOptions(turns=200, sessions=8), console)
    assert gateway.most_open_sessions == 8
    assert sum(len(tokens) for tokens in gateway.sessions.values()) == 400
    assert max(len(tokens) for tokens in gateway.sessions.values()) <= 6
    assert len(gateway.configs) == 2  # a fresh router each time
    assert max(gateway.batches) <= 64


async def test_a_prompt_is_sent_only_to_find_a_missing_type(
    write_log: WriteLog, console: Console
) -> None:
    path = write_log([row("sql", "select", a=1), row(None, "a poem", a=1), row(None, "hi", a=1)])
    gateway = MemoryGateway(first_arm)
    report = await play(path, gateway, PlayOptions(), console)
    assert sorted(str(prompt) for prompt in gateway.prompts) == ["None", "a poem", "hi"]
    assert report.type_turns == {"sql": 1, "writing": 1, "general": 1}


async def test_all_events_are_waited_for_and_counted_from_the_beginning_of_the_play(
    write_log: WriteLog, console: Console
) -> None:
    gateway = MemoryGateway(first_arm, fold_per_poll=30)
    gateway.settled_before = 1000
    report = await play(write_log(some_rows()), gateway, PlayOptions(), console)
    assert report.events == Events(accepted=80, folded=80, duplicates=0, late=0, dead=0)
    assert report.complete


async def test_a_lost_answer_is_asked_for_again_with_the_same_ids(
    write_log: WriteLog, console: Console
) -> None:
    gateway = MemoryGateway(first_arm)
    gateway.errors = [Unavailable("broker away"), None, Unavailable("broker away")]
    gateway.pick_errors = [Unavailable("starting"), Unavailable("starting")]
    report = await play(write_log(some_rows()), gateway, PlayOptions(), console)
    assert report.events.accepted == report.events.folded == 80
    assert len(gateway.folded_outcomes) == 40
    assert sum(gateway.batches) > 40


async def test_a_fold_that_stands_still_ends_the_waiting(
    write_log: WriteLog, console: Console
) -> None:
    gateway = MemoryGateway(first_arm)
    gateway.lost = 10
    options = PlayOptions(stall_timeout_s=0.1)
    report = await play(write_log(some_rows()), gateway, options, console)
    assert not report.complete
    assert report.problem is not None
    assert "10 of 80 accepted events" in report.problem
    assert report.events.folded == 70
    assert report.turns == 40


async def test_dead_letters_count_as_settled(write_log: WriteLog, console: Console) -> None:
    gateway = MemoryGateway(first_arm)

    def bury(config: RouterConfig, *_: str) -> str:
        gateway.dead += 1
        return "a"

    gateway.choose = bury
    report = await play(write_log(some_rows()), gateway, PlayOptions(), console)
    assert report.complete
    assert report.events == Events(accepted=80, folded=40, duplicates=0, late=0, dead=40)


async def test_a_refusal_midway_ends_in_a_partial_report(
    write_log: WriteLog, console: Console
) -> None:
    gateway = MemoryGateway(first_arm)
    gateway.pick_errors = [None] * 20 + [GatewayError("arm a is gone")]
    options = PlayOptions(sessions=4)
    report = await play(write_log(some_rows()), gateway, options, console)
    assert not report.complete
    assert report.problem == "arm a is gone"
    # Users who had picked when the play broke off are counted; each of the four at most once more.
    assert 20 <= report.turns < 24
    assert report.reward.mean is not None


async def test_ctrl_c_ends_in_a_partial_report_of_what_was_accepted(
    write_log: WriteLog, console: Console
) -> None:
    well_under_way = asyncio.Event()

    def first_arm_until(config: RouterConfig, *_: str) -> str:
        if len(gateway.folded_outcomes) > 50:
            well_under_way.set()
        return config.arm_names[0]

    gateway = MemoryGateway(first_arm_until)
    options = PlayOptions(turns=100_000)
    playing = asyncio.create_task(play(write_log(some_rows()), gateway, options, console))
    await well_under_way.wait()
    playing.cancel()
    report = await playing
    assert not report.complete
    assert report.problem == "interrupted"
    assert 0 < report.turns < 100_000
    assert report.turns == sum(len(tokens) for tokens in gateway.sessions.values())
    assert report.events.accepted == gateway.events == report.events.folded
    assert playing.cancelling() == 0


async def test_ctrl_c_before_the_first_pick_leaves_an_empty_report(
    write_log: WriteLog, console: Console
) -> None:
    gateway = MemoryGateway(first_arm)
    started = asyncio.Event()

    async def hang(*_: object, **__: object) -> None:
        started.set()
        await asyncio.Event().wait()

    gateway.pick = hang  # type: ignore[assignment, method-assign]
    playing = asyncio.create_task(play(write_log(some_rows()), gateway, PlayOptions(), console))
    await started.wait()
    playing.cancel()
    report = await playing
    assert (report.turns, report.complete, report.reward.mean) == (0, False, None)
    assert report.shares == {}
    assert report.utility.gap_closed is None


async def test_nothing_is_put_for_a_file_that_can_not_be_played(
    write_log: WriteLog, console: Console
) -> None:
    gateway = MemoryGateway(first_arm)
    with pytest.raises(LogError):
        await play(write_log([]), gateway, PlayOptions(), console)
    assert gateway.configs == {}


async def test_a_router_that_is_changed_meanwhile_ends_the_play(
    write_log: WriteLog, console: Console
) -> None:
    gateway = MemoryGateway(lambda *_: "new-arm")
    report = await play(write_log(some_rows()), gateway, PlayOptions(), console)
    assert report.problem is not None
    assert "'new-arm', which it did not have" in report.problem


async def test_the_shared_logs_play_to_the_end(shared_logs: list[Path], console: Console) -> None:
    for path in shared_logs:
        report = await play(path, MemoryGateway(first_arm), PlayOptions(turns=500), console)
        assert report.complete
        assert report.events.folded == 1000
        reward, utility = report.reward, report.utility
        for measure in (reward, utility):
            assert measure.uniform is not None
            assert measure.best_single is not None
            assert measure.per_type_oracle is not None
            assert measure.uniform < measure.best_single <= measure.per_type_oracle
            assert measure.mean is not None
            assert measure.mean <= measure.best_single
