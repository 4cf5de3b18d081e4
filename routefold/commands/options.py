"""Options that several commands have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
JsonFile = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write everything as JSON; - prints it."),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="The API to talk to; else ROUTEFOLD_URL, else the running `routefold up`.",
        show_default=False,
    ),
]
StateDirOption = Annotated[
    Path | None,
    typer.Option(
        "--state-dir",
        metavar="DIR",
        help="Where the local stack keeps its data; else ROUTEFOLD_STATE_DIR, else ./.routefold.",
        show_default=False,
    ),
]
HostOption = Annotated[
    str | None,
    typer.Option(
        "--host",
        help="Address to listen on; else ROUTEFOLD_HOST, else 127.0.0.1. There is no "
        "authentication: choose another only behind something that has.",
        show_default=False,
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65535,
        help="Port of the API, 0 for a free one; else ROUTEFOLD_PORT, else 8080.",
        show_default=False,
    ),
]
