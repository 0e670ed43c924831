"""What became of each try to tell a webhook."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "callbacks",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column(
            "webhook",
            sa.Text,
            sa.ForeignKey("webhooks.id", name="fk_callbacks_webhooks", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("event", sa.BigInteger, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("why", sa.Text),
        sa.Column("at", sa.Double, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_callbacks_webhook", "callbacks", ["webhook", "id"])
    op.create_index("ix_callbacks_event", "callbacks", ["event", "id"])


def downgrade() -> None:
    op.drop_table("callbacks")
