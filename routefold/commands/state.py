"""`routefold state`: what a router has learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from routefold.commands.options import JsonFlag, StateDirOption, UrlOption

if TYPE_CHECKING:
    from rich.table import Table


def register(app: typer.Typer) -> None:
    app.command("state")(state)


def state(
    router: Annotated[str | None, typer.Argument(help="Left out: list the routers.")] = None,
    url: UrlOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what a router has learned: for each request type, each arm's share and estimate.

    [bold]Example:[/bold]

        routefold state chat
    """
    from routefold import signals
    from routefold.commands.output import console, print_json
    from routefold.endpoints import find_api_url
    from routefold.settings import load_settings

    base_url = find_api_url(load_settings(url=url, state_dir=state_dir))
    document = signals.run(_read(base_url, router))
    if as_json:
        print_json(document)
    elif router is None:
        console().print(routers_table(document))
    else:
        out = console()
        out.print(header(document))
        out.print(state_table(document))


async def _read(url: str, router: str | None) -> Any:
    from routefold.api import api_client

    async with api_client(url) as client:
        return await (client.routers() if router is None else client.state(router))


def header(state: Mapping[str, Any]) -> str:
    """One line above the table: version, events, age."""
    events, fresh = state["events"], state.get("freshness_ms") or {}
    counts = ", ".join(
        f"{events[name]:,} {name}" for name in ("folded", "duplicates", "late", "dead")
    )
    p99 = fresh.get("p99")
    freshness = f"; outcome to router p99 {p99:,.0f} ms" if p99 is not None else ""
    return f"{state['router']} version {state['version']}: events {counts}{freshness}"


def state_table(state: Mapping[str, Any]) -> Table:
    """The cells of a state document, grouped by request type, largest share first."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("request type", no_wrap=True)
    table.add_column("arm", overflow="fold")
    for name in ("share", "mean", "90 % interval", "observations"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("drift", no_wrap=True)
    previous = None
    for cell in sorted(state["cells"], key=_by_type_and_share(state)):
        request_type = cell["request_type"]
        if previous not in (None, request_type):
            table.add_row()
        low, high = cell["interval_90"]
        table.add_row(
            request_type if request_type != previous else "",
            cell["arm"],
            f"{cell['probability']:.1%}",
            f"{cell['mean']:.3f}",
            f"{low:.3f} - {high:.3f}",
            f"{cell['observations']:,.1f}",
            ", ".join(name for name, metric in cell["metrics"].items() if metric.get("drifted")),
        )
        previous = request_type
    return table


def _by_type_and_share(state: Mapping[str, Any]) -> Any:
    types = list(dict.fromkeys(cell["request_type"] for cell in state["cells"]))
    return lambda cell: (types.index(cell["request_type"]), -cell["probability"], cell["arm"])


def routers_table(document: Mapping[str, Any]) -> Table | str:
    """The routers that an API knows."""
    from rich.table import Table

    if not document["routers"]:
        return "no routers yet: configure one with `routefold apply routers.yaml`"
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("router", no_wrap=True)
    table.add_column("version", justify="right")
    table.add_column("arms")
    for router in document["routers"]:
        table.add_row(router["name"], str(router["version"]), ", ".join(router["arms"]))
    return table
