"""Reads the log and the present evidence, and values a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import time_ns

import polars as pl

from routefold.errors import Failure, Misuse
from routefold.evaluate import metrics
from routefold.evaluate.evaluation import Evaluation, evaluate
from routefold.evaluate.policy import FixedShares, Policy, RouterPolicy
from routefold.evaluate.turns import logged_turns
from routefold.history import Position, read_history
from router_api.directory import Directory
from router_api.subscriber import Subscriber
from schemas.router_config import RouterConfig
from schemas.topics import Topics

# What a router that starts needs at most for its state.
_STATE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whose turns, which of them, and what is asked about them; None and (): everything usual."""

    router: str | None = None
    start: Position | None = None
    end: Position | None = None
    metrics: Sequence[str] = ()


async def evaluate_log(
    bootstrap_servers: str,
    topics: Topics,
    policy: FixedShares | RouterConfig,
    question: Question,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """What `policy` would have earned with the logged turns.

    Raises Misuse where policy or question do not fit the router, Unreachable or Failure.
    """
    directory = await present(bootstrap_servers, topics)
    name = _router_of(policy, question, directory)
    config = directory.routers[name].config
    if unknown := metrics.unknown(question.metrics, config.rewards):
        offered = ", ".join(metrics.names(config.rewards))
        raise Misuse(f"--metric {unknown}: router {name!r} has no such metric; it has {offered}")
    if isinstance(policy, FixedShares):
        policy.require_known(config.arm_names, config.request_types)
    history = await read_history(
        bootstrap_servers,
        topics,
        start=question.start,
        end=question.end,
        router=name,
        progress=progress,
    )
    logged = logged_turns(history.joined, _as_policy(policy, directory, name))
    if logged.turns.is_empty():
        raise Failure(f"the log has no turn that router {name!r} picked in that time")
    said = history.joined.select("turn_id", signal="signals").explode("signal")
    signals = pl.concat([said, history.reactions.select("turn_id", "signal")])
    return evaluate(name, logged, question.metrics, signals, config.rewards)


async def present(bootstrap_servers: str, topics: Topics) -> Directory:
    """Every router's configuration and evidence as they are now."""
    subscriber = Subscriber(
        bootstrap_servers=bootstrap_servers,
        topics=topics,
        now_ms=lambda: time_ns() // 1_000_000,
    )
    await subscriber.start()
    try:
        if not await subscriber.wait_ready(_STATE_TIMEOUT_S):
            raise Failure(f"the state could not be read within {_STATE_TIMEOUT_S:.0f} s; try again")
        return subscriber.directory
    finally:
        await subscriber.stop()


def _router_of(policy: FixedShares | RouterConfig, question: Question, directory: Directory) -> str:
    """The router whose turns are meant: the one asked for, the policy's own, or the only one."""
    known = ", ".join(sorted(directory.routers)) or "none"
    name = question.router or (policy.router if isinstance(policy, RouterConfig) else None)
    if name is None:
        if len(directory.routers) != 1:
            raise Misuse(f"--router: name one of the routers; there are: {known}")
        return next(iter(directory.routers))
    if name not in directory.routers:
        raise Misuse(f"--router: there is no router {name!r}; there are: {known}")
    return name


def _as_policy(policy: FixedShares | RouterConfig, directory: Directory, router: str) -> Policy:
    if isinstance(policy, FixedShares):
        return policy
    state = directory.state(router)
    return RouterPolicy(policy, lambda request_type: state.of(request_type).read())
