"""The pointer to the live tables."""

from __future__ import annotations

from importlib import resources

from alembic import op

revision = "0006"
down_revision = "0005"
# The schema that every installation has; those of rebuilds are made by the same migrations.
BASE = "routefold"


def upgrade() -> None:
    connection = op.get_bind()
    if connection.exec_driver_sql("SELECT current_schema()").scalar() != BASE:
        return
    text = (resources.files("consumer.migrations") / "0006_generations.sql").read_text()
    connection.exec_driver_sql(text)


def downgrade() -> None:
    raise NotImplementedError("rebuild from the topic instead: it is the source of truth")
