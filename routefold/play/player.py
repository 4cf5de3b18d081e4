"""Plays a recorded log through a router: picks, recorded outcomes, and a report at the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from rich.console import Console
from uuid_utils.compat import uuid7

from routefold.play.errors import GatewayError
from routefold.play.folding import FoldWatch
from routefold.play.gateway import Gateway, Picked, PlayedOutcome
from routefold.play.ledger import Ledger
from routefold.play.log import Log, read_log
from routefold.play.options import PlayOptions
from routefold.play.outcomes import MAX_BATCH, OutcomeBatches
from routefold.play.patience import patiently
from routefold.play.progress import PlayProgress
from routefold.play.report import INTERRUPTED, Events, Percentiles, Report
from routefold.play.sequence import row_sequence, sessions
from routefold.play.setup import agree_on_router
from routefold.play.summary import Summary
from schemas.router_config import RouterConfig

# After an interrupt: what is on its way may still arrive, but nobody waits long for it.
_FAREWELL_S: Final = 2.0


async def play(path: Path, gateway: Gateway, options: PlayOptions, console: Console) -> Report:
    """Plays the log in `path` and reports. Progress goes to `console`; the report is not printed.

    Raises LogError, OptionsError, or GatewayError while nothing has been played yet. From the first
    turn on a report is returned whatever happens, with `complete` False and `problem` set where
    the play was cut short: by a cancellation too (Ctrl-C under asyncio.run), which ends here.
    """
    run_id = uuid4().hex[:8]
    log = await asyncio.to_thread(read_log, path)
    config, before = await agree_on_router(gateway, log, options, f"play-{run_id}")
    rows = row_sequence(len(log), options.turns or len(log), options.seed)
    run = _Run(
        gateway, log, config, Ledger(rows), run_id=run_id, sessions=min(options.sessions, len(rows))
    )
    watch = FoldWatch(gateway, config.router, before)
    started = time.monotonic()
    with PlayProgress(console, len(rows)) as progress:
        problem = await _to_the_end(run, watch, options, progress)
    return _report(run, watch, problem, time.monotonic() - started)


async def _to_the_end(
    run: _Run, watch: FoldWatch, options: PlayOptions, progress: PlayProgress
) -> str | None:
    """Plays and waits for the fold; what went wrong, or None."""
    try:
        await run.all_turns(options.seed, progress.turn_played)
        progress.begin_folding(run.ledger.events_accepted)
        return await watch.until_settled(
            run.ledger.events_accepted, options.stall_timeout_s, progress.folded
        )
    except GatewayError as error:
        problem = str(error)
    except asyncio.CancelledError:
        task = asyncio.current_task()
        while task is not None and task.cancelling():
            task.uncancel()
        problem = INTERRUPTED
    with suppress(GatewayError, TimeoutError):
        await run.outcomes.drain(_FAREWELL_S)
        async with asyncio.timeout(_FAREWELL_S):
            await watch.read()
    return problem


class _Run:
    """One play under way."""

    def __init__(
        self,
        gateway: Gateway,
        log: Log,
        config: RouterConfig,
        ledger: Ledger,
        *,
        run_id: str,
        sessions: int,
    ) -> None:
        self.log = log
        self.config = config
        self.ledger = ledger
        # A batch that holds an outcome of every user has nobody left to wait for.
        self.outcomes = OutcomeBatches(self._send, max_batch=min(MAX_BATCH, sessions))
        self._gateway = gateway
        self._run_id = run_id
        self._sessions = sessions
        self._arm_numbers = {arm: number for number, arm in enumerate(config.arm_names)}
        self._columns = {arm: log.arms.index(arm) for arm in config.arm_names}

    async def all_turns(self, seed: int, on_turn: Callable[[], None]) -> None:
        """Raises the first GatewayError that patience could not mend."""
        waiting = enumerate(sessions(len(self.ledger.rows), seed))
        try:
            async with asyncio.TaskGroup() as users:
                for _ in range(self._sessions):
                    users.create_task(self._user(waiting, on_turn))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _user(
        self, waiting: Iterator[tuple[int, range]], on_turn: Callable[[], None]
    ) -> None:
        for number, turns in waiting:
            for turn in turns:
                await self._turn(turn, f"{self._run_id}-{number}")
                on_turn()

    async def _turn(self, turn: int, session_id: str) -> None:
        """A pick, and its outcome accepted before the user goes on."""
        row = int(self.ledger.rows[turn])
        picked, pick_ns = await patiently(lambda: self._timed_pick(row, session_id))
        arm = self._arm_numbers.get(picked.arm)
        if arm is None:
            raise GatewayError(
                f"router {self.config.router} picked {picked.arm!r}, which it did not have when "
                "the play began; play again without changing the router"
            )
        self.ledger.events_accepted += 1
        self.ledger.enter(turn, arm, picked.request_type, pick_ns)
        recorded = self.log.recorded(row, self._columns[picked.arm])
        await self.outcomes.post(
            PlayedOutcome(
                turn_token=picked.turn_token,
                outcome_id=uuid7(),
                quality=recorded.reward,
                failed=recorded.failed,
                latency_ms=recorded.latency_ms,
                tokens_in=recorded.tokens_in,
                tokens_out=recorded.tokens_out,
                cost_usd=recorded.cost_usd,
            )
        )

    async def _timed_pick(self, row: int, session_id: str) -> tuple[Picked, int]:
        started_ns = time.monotonic_ns()
        # Neither the text of a row with a type nor the previous turn is sent: neighbours in a
        # session are unrelated rows, and no reaction to one can be read from the other.
        picked = await self._gateway.pick(
            self.config.router,
            session_id=session_id,
            request_type=self.log.request_types[row],
            prompt=self.log.prompts.get(row),
        )
        return picked, time.monotonic_ns() - started_ns

    async def _send(self, outcomes: Sequence[PlayedOutcome]) -> None:
        def request() -> Awaitable[int]:
            return self._gateway.outcomes(outcomes)

        accepted = await patiently(request)
        self.ledger.events_accepted += accepted  # not in one line: others add during the await


def _report(run: _Run, watch: FoldWatch, problem: str | None, seconds: float) -> Report:
    played = run.ledger.played()
    summary = Summary(run.log, run.config, played)
    state: Any = watch.state
    freshness = state.get("freshness_ms") or {}
    return Report(
        turns=len(played),
        events=Events.of(run.ledger.events_accepted, watch.counts),
        reward=summary.reward,
        utility=summary.utility,
        cost_usd=summary.cost_usd,
        shares=summary.shares,
        pick_latency_us=played.pick_latency_us,
        freshness_ms=Percentiles(freshness.get("p50"), freshness.get("p99")),
        state_digest=state.get("state_digest"),
        seconds=seconds,
        complete=problem is None,
        log=run.log.path.name,
        router=run.config.router,
        problem=problem,
        standings=summary.standings,
        type_turns=summary.type_turns,
        type_best=summary.type_best,
    )
