"""Which servers a rebuild reads and writes: those of the settings, or of the running `up`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from routefold.endpoints import find_bootstrap_servers, find_postgres_dsn

if TYPE_CHECKING:
    from consumer.rebuild.rebuild import Servers
    from routefold.settings import Settings


def find_servers(settings: Settings, archive: Path | None = None) -> Servers:
    """With the archive in a directory, where one is named.

    Raises Misuse where no servers are named and nothing runs here, RebuildRefused without such an
    archive.
    """
    from consumer.rebuild.rebuild import Servers
    from routefold.rebuilds.archived import open_events

    return Servers(
        bootstrap_servers=find_bootstrap_servers(settings),
        topic=settings.topics.events,
        postgres_dsn=find_postgres_dsn(settings).get_secret_value(),
        archive=open_events(archive) if archive is not None else None,
    )
