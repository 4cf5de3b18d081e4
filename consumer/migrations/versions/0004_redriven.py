"""Dead letters that were published again."""

from __future__ import annotations

from importlib import resources

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    text = (resources.files("consumer.migrations") / "0004_redriven.sql").read_text()
    op.get_bind().exec_driver_sql(text)


def downgrade() -> None:
    raise NotImplementedError("rebuild from the topic instead: it is the source of truth")
