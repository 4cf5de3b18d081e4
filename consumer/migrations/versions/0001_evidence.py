"""Progress, evidence, turn states, dead letters, and the view for analysts."""

from __future__ import annotations

from importlib import resources

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    text = (resources.files("consumer.migrations") / "0001_evidence.sql").read_text()
    op.get_bind().exec_driver_sql(text)


def downgrade() -> None:
    raise NotImplementedError("rebuild from the topic instead: it is the source of truth")
