"""`routefold state`: what a router has learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from routefold.commands.options import JsonFlag, StateDirOption, UrlOption

if TYPE_CHECKING:
    from rich.table import Table


_TOGETHER: Final = "\u00a0"  # a space at which no line is broken
# Measured, not scored, or in a column of its own.
_SHOWN_APART: Final = frozenset(
    {
        *("picked", "cancelled", "success", "health", "fallback_health", "uptime"),
        *("latency_ms", "ttft_ms", "tokens_in", "tokens_out", "tokens_per_s", "cost_usd"),
    }
)


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
    """The cells of a state document under their request types, largest share first."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("arm", overflow="fold")
    for name in ("share", "prior", "mean", "90 % interval", "seen", "time", "answers"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("evidence", overflow="fold")
    previous = None
    for cell in sorted(state["cells"], key=_by_type_and_share(state)):
        request_type = cell["request_type"]
        if previous != request_type:
            if previous is not None:
                table.add_row()
            empty = [""] * 7
            table.add_row(f"[bold]{request_type}[/bold]", *empty, _age(cell["age_ms"]))
        previous = request_type
        low, high = cell["interval_90"]
        prior, speed, health = cell["prior"], cell["speed"], cell["health"]
        table.add_row(
            cell["arm"],
            f"{cell['probability']:.1%}",
            f"{prior['alpha'] / (prior['alpha'] + prior['beta']):.2f}",
            f"{cell['mean']:.3f}",
            f"{low:.3f} - {high:.3f}",
            f"{cell['observations']:,.1f}",
            "" if speed is None else f"{speed['mean_ms']:,.0f} ms",
            "failing" if health["failing"] else f"{health['answering']:.0%}",
            _evidence(cell["metrics"]),
        )
    return table


def _evidence(metrics: Mapping[str, Any]) -> str:
    """What an arm's score rests on: each metric in 0..1 with its mean and number."""
    shown = []
    for name, metric in metrics.items():
        if name not in _SHOWN_APART and metric["mean"] is not None:
            drifted = " drifted" if metric["drifted"] else ""
            text = f"{name} {metric['mean']:.2f} ({metric['n']:,.0f}){drifted}"
            shown.append(text.replace(" ", _TOGETHER))
    return ", ".join(shown)


def _age(age_ms: int | None) -> str:
    """How long ago the newest turn that counts was."""
    if age_ms is None:
        return ""
    for unit, size_ms in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)):
        if age_ms >= size_ms:
            return f"{age_ms / size_ms:.0f} {unit} ago".replace(" ", _TOGETHER)
    return "now"


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
