"""The demonstration: an installation from nothing, simulated traffic, a live view, a report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

from rich.console import Console

from producer.client import RoutefoldClient
from routefold.demo.learning import Learning
from routefold.demo.live import Display, display_on
from routefold.demo.models import read_models, router_config
from routefold.demo.traffic import write_log
from routefold.installation import installation
from routefold.play.errors import GatewayError
from routefold.play.gateway import Gateway
from routefold.play.http_gateway import HttpGateway
from routefold.play.options import PlayOptions
from routefold.play.player import play
from routefold.play.report import Report
from routefold.settings import Settings
from schemas.router_config import RouterConfig

TRAFFIC_FILE: Final = "traffic.jsonl"
SESSIONS: Final = 32
_LOOK_EVERY_S: Final = 0.25
_HONESTY: Final = (
    "No model is called: success rates, prices and latencies are published figures, taken as "
    "proxies; routefold/demo/models.csv names the source of each"
)


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`turns` and `seed` of the simulated traffic."""

    turns: int
    seed: int


async def run_demo(
    settings: Settings, options: DemoOptions, console: Console, say: Callable[[str], None]
) -> Report:
    """Everything from an empty `settings.state_dir` to the report; nothing is left running.

    Uses its own servers, whatever the settings name: simulated outcomes never reach real ones.
    """
    own = settings.model_copy(
        update={"bootstrap_servers": None, "postgres_dsn": None, "postgres_dsn_file": None}
        | {"token_keys": None, "token_keys_file": None, "spool_path": None}
        | {"host": "127.0.0.1", "port": 0, "metrics_port": None, "topic_prefix": "routefold"}
    )
    models = read_models()
    config = router_config(models)
    async with installation(own, fresh=True, console=console, say=say) as running:
        traffic = own.state_dir / TRAFFIC_FILE
        await asyncio.to_thread(write_log, traffic, models, options.turns, options.seed)
        say(f"playing {options.turns:,} simulated requests to {len(models)} models. {_HONESTY}")
        async with RoutefoldClient(running.endpoints.api_url) as client:
            gateway = HttpGateway(client)
            with display_on(console, options.turns) as display:
                looking = asyncio.ensure_future(
                    _look(gateway, config.router, Learning(config, models), display)
                )
                try:
                    return await running.supervisor.guard(_play(traffic, gateway, options, config))
                finally:
                    looking.cancel()
                    with suppress(asyncio.CancelledError):
                        await looking


async def _play(
    traffic: Path, gateway: Gateway, options: DemoOptions, config: RouterConfig
) -> Report:
    play_options = PlayOptions(seed=options.seed, sessions=SESSIONS, config=config)
    return await play(traffic, gateway, play_options, Console(file=StringIO()))


async def _look(gateway: Gateway, router: str, learning: Learning, display: Display) -> None:
    while True:
        with suppress(GatewayError):  # not configured yet; the player reports what matters
            display.show(learning.view(await gateway.state(router)))
        await asyncio.sleep(_LOOK_EVERY_S)
