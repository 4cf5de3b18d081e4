"""Which servers a rebuild reads and writes: those of the settings, or of the running `up`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from routefold.endpoints import find_bootstrap_servers, find_postgres_dsn

if TYPE_CHECKING:
    from consumer.rebuild.rebuild import Servers
    from routefold.settings import Settings


def find_servers(settings: Settings) -> Servers:
    """Raises Misuse where none are named and nothing runs here."""
    from consumer.rebuild.rebuild import Servers

    return Servers(
        bootstrap_servers=find_bootstrap_servers(settings),
        topic=settings.topics.events,
        postgres_dsn=find_postgres_dsn(settings).get_secret_value(),
    )
