"""Evidence read at each arm's latest turn, and pooled over the deployments of an arm."""

from __future__ import annotations

from importlib import resources

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    text = (resources.files("consumer.migrations") / "0005_deployments.sql").read_text()
    op.get_bind().exec_driver_sql(text)


def downgrade() -> None:
    raise NotImplementedError("rebuild from the topic instead: it is the source of truth")
