"""`routefold apply`: configure routers from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from routefold.commands.options import JsonFlag, StateDirOption, UrlOption

if TYPE_CHECKING:
    from routefold.settings import Settings
    from schemas.router_config import RouterConfig


def register(app: typer.Typer) -> None:
    app.command("apply")(apply)


def apply(
    file: Annotated[Path, typer.Argument(help="YAML or JSON; - reads standard input.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, and say what would change; change nothing.")
    ] = False,
    url: UrlOption = None,
    state_dir: StateDirOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Create or change routers. Nothing is applied unless the whole file is valid.

    A file holds one router, or several under `routers:`. Applying the same again changes nothing.

    [bold]Example:[/bold]

        routefold apply routers.yaml

        router: chat
        arms:
          - {name: large, tier: 3, price: {usd_per_1m_in: 2.0, usd_per_1m_out: 8.0}}
          - {name: small, tier: 2, price: {usd_per_1m_in: 0.4, usd_per_1m_out: 1.6}}
        weights: {quality: 0.7, cost: 0.3}
    """
    from routefold import signals
    from routefold.commands.output import print_json
    from routefold.router_files import load_routers
    from routefold.settings import load_settings

    configs = load_routers(file)
    settings = load_settings(url=url, state_dir=state_dir)
    results = signals.run(_compare(settings, configs) if dry_run else _apply(settings, configs))
    if as_json:
        print_json({"dry_run": dry_run, "routers": results})
        return
    for result in results:
        typer.echo(_line(result, dry_run))


def _line(result: Mapping[str, Any], dry_run: bool) -> str:
    if result["changed"] is None:
        return f"{result['router']}: valid (no API found to compare with)"
    if not result["changed"]:
        return f"{result['router']}: unchanged, version {result['version']}"
    return f"{result['router']}: {'would become' if dry_run else 'now'} version {result['version']}"


async def _apply(settings: Settings, configs: Sequence[RouterConfig]) -> list[dict[str, Any]]:
    from routefold.api import api_client
    from routefold.endpoints import find_api_url
    from routefold.errors import Failure

    results: list[dict[str, Any]] = []
    for config in configs:
        try:
            async with api_client(find_api_url(settings)) as client:
                results.append(await client.put_router(config.model_dump(mode="json")))
        except Failure as error:
            done = ", ".join(result["router"] for result in results)
            before = f" (applied before it: {done})" if done else ""
            raise Failure(f"router {config.router!r}: {error}{before}") from error
    return results


async def _compare(settings: Settings, configs: Sequence[RouterConfig]) -> list[dict[str, Any]]:
    from routefold.endpoints import find_api_url
    from routefold.errors import Misuse

    try:
        url = find_api_url(settings)
    except Misuse:  # the file can be checked without an API, too
        return [{"router": each.router, "version": None, "changed": None} for each in configs]
    from routefold.api import api_client
    from schemas.router_config import RouterConfig

    results = []
    async with api_client(url) as client:
        known = {router["name"] for router in (await client.routers())["routers"]}
        for config in configs:
            version, changed = 0, True
            if config.router in known:
                current = await client.state(config.router)
                version = current["version"]
                changed = RouterConfig.model_validate(current["config"]) != config
            results.append(
                {"router": config.router, "version": version + changed, "changed": changed}
            )
    return results
