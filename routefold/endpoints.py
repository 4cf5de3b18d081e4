"""Where the running `routefold up` of a state directory can be reached.

`up` writes the file when everything is ready and removes it when it stops; other commands read it,
so that they need no flags on the same machine. It holds no secret.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import SecretStr

from routefold.errors import Misuse
from routefold.settings import Settings

FILE_NAME = "endpoints.json"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of one running installation."""

    pid: int  # of the process that runs it
    api_url: str
    consumer_metrics_url: str
    bootstrap_servers: str
    postgres: str  # a DSN without password
    password_file: str | None

    @property
    def docs_url(self) -> str:
        return f"{self.api_url}/docs"

    @property
    def metrics_url(self) -> str:
        return f"{self.api_url}/metrics"

    def as_dict(self) -> dict[str, object]:
        """JSON-ready, with the derived addresses."""
        return {**asdict(self), "docs_url": self.docs_url, "metrics_url": self.metrics_url}


def write(state_dir: Path, endpoints: Endpoints) -> None:
    """Write the file in one step, so that a reader never sees half of it."""
    partial = state_dir / f".{FILE_NAME}.{os.getpid()}"
    partial.write_text(json.dumps(asdict(endpoints), indent=2) + "\n")
    partial.replace(state_dir / FILE_NAME)


def remove(state_dir: Path) -> None:
    (state_dir / FILE_NAME).unlink(missing_ok=True)


def read(state_dir: Path) -> Endpoints | None:
    """The running installation of a state directory; None where there is none."""
    try:
        found = Endpoints(**json.loads((state_dir / FILE_NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return found if _is_alive(found.pid) else None


def find_api_url(settings: Settings) -> str:
    """The API's URL: --url or ROUTEFOLD_URL, else that of the `up` in the state directory.

    Raises Misuse where there is neither.
    """
    if settings.url is not None:
        return settings.url
    running = read(settings.state_dir)
    if running is None:
        raise Misuse(
            f"nothing runs in {settings.state_dir}: start it with `routefold up`, "
            "or name an API with --url (or ROUTEFOLD_URL)"
        )
    return running.api_url


def find_bootstrap_servers(settings: Settings) -> str:
    """Kafka's address: ROUTEFOLD_BOOTSTRAP_SERVERS, else that of the `up` in the state directory.

    Raises Misuse where there is neither.
    """
    if settings.bootstrap_servers is not None:
        return settings.bootstrap_servers
    running = read(settings.state_dir)
    if running is None:
        raise Misuse(
            f"nothing runs in {settings.state_dir}: start it with `routefold up`, "
            "or name a Kafka with ROUTEFOLD_BOOTSTRAP_SERVERS=HOST:PORT"
        )
    return running.bootstrap_servers


def find_postgres_dsn(settings: Settings) -> SecretStr:
    """Postgres' DSN: ROUTEFOLD_POSTGRES_DSN or its file, else that of the `up` in the state
    directory.

    Raises Misuse where there is neither, or where `up` uses a Postgres whose password it was given.
    """
    from psycopg.conninfo import make_conninfo  # most commands need no Postgres

    given = settings.find_postgres_dsn()
    if given is not None:
        return given
    running = read(settings.state_dir)
    if running is None:
        raise Misuse(
            f"nothing runs in {settings.state_dir}: start it with `routefold up`, "
            "or name a Postgres with ROUTEFOLD_POSTGRES_DSN=postgresql://..."
        )
    try:
        password = Path(running.password_file or "").read_text().strip()
    except OSError:
        raise Misuse(
            f"the `up` in {settings.state_dir} uses {running.postgres}, and its password is not "
            "here: set ROUTEFOLD_POSTGRES_DSN as for `up`"
        ) from None
    return SecretStr(make_conninfo(running.postgres, password=password))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # alive, and somebody else's
        return True
    return True
