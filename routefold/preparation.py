"""Makes Kafka and Postgres ready for an installation; changes nothing where they are."""

from __future__ import annotations

import asyncio
from functools import partial

from pydantic import SecretStr

from consumer.migrate import migrate
from routefold.database import check_postgres
from routefold.threads import in_daemon_thread
from routefold.topics_admin import ensure_topics
from schemas.topics import Topics


async def prepare(bootstrap_servers: str, postgres_dsn: SecretStr, topics: Topics) -> list[str]:
    """Create missing topics, check existing ones, migrate the database; the names created.

    Idempotent; several processes may do it at once. Raises Unreachable, TopicMismatch, Failure.
    """
    await check_postgres(postgres_dsn)
    migration = partial(migrate, postgres_dsn.get_secret_value())
    created, _ = await asyncio.gather(
        ensure_topics(bootstrap_servers, topics), in_daemon_thread(migration)
    )
    return created
