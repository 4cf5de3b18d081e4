"""`routefold evaluate`: what would another policy have earned?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from routefold.commands.options import StateDirOption

if TYPE_CHECKING:
    from routefold.evaluate.driver import Question
    from routefold.evaluate.evaluation import Evaluation
    from routefold.evaluate.policy import FixedShares
    from routefold.settings import Settings
    from schemas.router_config import RouterConfig


def register(app: typer.Typer) -> None:
    app.command("evaluate")(evaluate)


def evaluate(
    policy: Annotated[
        Path,
        typer.Option("--policy", metavar="FILE", help="Shares, or a router as for `apply`."),
    ],
    router: Annotated[
        str | None, typer.Option("--router", help="Whose turns; else the policy's, or the only.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="TIME", help="First turns: 2026-01-03T12:00:00Z or a date."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="The end, not included.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="May be given again; else reward, cost_usd, latency_ms."),
    ] = None,
    state_dir: StateDirOption = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the answer as JSON; - prints it."),
    ] = None,
) -> None:
    """Tell what another policy would have earned, from the logged probabilities of this one.

    Three estimates with 95 % intervals: inverse propensity scores (IPS), self-normalised ones, and
    doubly robust. Of a policy that chooses what was hardly ever chosen the log can tell nothing:
    that is said, with the reason. Exit codes: 0 told; 1 a metric that was asked for can't be told
    (of the usual ones: none can), or a failure; 2 the policy or an option is wrong.

    A router's file is valued as it would pick now, with what it has learned by now, also from the
    turns it is valued on. Turns of the modes observe and bypass are left out; a fallback's answer
    stands for the arm that was picked.

    [bold]Example:[/bold]

        routefold evaluate --policy policy.yaml --metric quality --metric cost_usd

        shares: {large: 0.2, small: 0.8}
        by_type:
          code_generation: {large: 1.0}
    """
    from routefold import logs, signals
    from routefold.commands.output import console, write_json
    from routefold.evaluate.driver import Question
    from routefold.evaluate.policy_files import load_policy
    from routefold.evaluate.render import render, to_json
    from routefold.history import Position
    from routefold.settings import load_settings

    wanted = load_policy(policy)
    question = Question(
        router=router,
        start=Position.parse(start) if start is not None else None,
        end=Position.parse(until) if until is not None else None,
        metrics=tuple(dict.fromkeys(metric or ())),
    )
    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    found = signals.run(_evaluate(settings, wanted, question))
    if json_file != Path("-"):
        console().print(render(found))
    if json_file is not None:
        write_json(json_file, to_json(found))
    raise typer.Exit(0 if found.told else 1)


async def _evaluate(
    settings: Settings, policy: FixedShares | RouterConfig, question: Question
) -> Evaluation:
    from functools import partial

    from routefold.commands.steps import steps
    from routefold.endpoints import find_bootstrap_servers
    from routefold.evaluate.driver import evaluate_log

    with steps() as told:
        return await evaluate_log(
            find_bootstrap_servers(settings),
            settings.topics,
            policy,
            question,
            partial(told, "reading"),
        )
