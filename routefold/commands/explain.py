"""`routefold explain`: why was this arm picked, and what would have changed it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from routefold.commands.options import JsonFile, StateDirOption

if TYPE_CHECKING:
    from routefold.audit.explanation import Explanation
    from routefold.settings import Settings


def register(app: typer.Typer) -> None:
    app.command("explain")(explain)


def explain(
    turn_id: Annotated[str, typer.Argument(help="As the pick's answer has it, or a table.")],
    state_dir: StateDirOption = None,
    json_file: JsonFile = None,
) -> None:
    """Explain one pick: what decided it, what would have changed it, and what came of it.

    Every arm's chance, and the parts of its score; the smallest single changes (of evidence, a
    price, a weight) that would have made another arm the likeliest; the turns that moved the belief
    in the picked arm most; and the outcomes of this one. All from the log, as it was at the pick.
    Exit codes: 0 explained, 1 the log lacks the turn or what it was picked from, 2 no turn id.

    [bold]Example:[/bold]

        routefold explain 019a2b5c-7d3e-7f40-9a1b-2c3d4e5f6071
    """
    from routefold import logs, signals
    from routefold.audit.render_explanation import render, to_json
    from routefold.commands.output import answer
    from routefold.errors import Misuse
    from routefold.settings import load_settings

    try:
        turn = UUID(turn_id)
    except ValueError:
        raise Misuse(f"{turn_id!r} is no turn id: it is a UUID, as a pick's turn_id") from None
    settings = load_settings(state_dir=state_dir)
    logs.configure("warning" if settings.log_level == "info" else settings.log_level)
    found = signals.run(_explain(settings, turn))
    answer(render(found), to_json(found), json_file)


async def _explain(settings: Settings, turn_id: UUID) -> Explanation:
    from routefold.audit.explain import explain as explain_turn
    from routefold.commands.steps import steps
    from routefold.endpoints import find_bootstrap_servers

    with steps() as told:
        return await explain_turn(find_bootstrap_servers(settings), settings.topics, turn_id, told)
