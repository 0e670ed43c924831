"""Webhooks, the outbox, and an index for what happened in a tenant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

DATA = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_index("ix_events_tenant", "events", ["tenant", "id"])
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("maker", "dialect", "event", "url")),
        sa.Column("name", sa.Text),
        sa.Column("include", DATA, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("salt", "key")),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("created_at", "updated_at")),
        *(sa.Column(name, sa.Double) for name in ("disabled_at", "opened_at")),
        sa.Column("failures", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("reference", "reference_origin")),
        sa.Column("metadata", DATA, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_event", "webhooks", ["event", "tenant"])
    op.create_table(
        "deliveries",
        sa.Column("webhook", sa.Text, nullable=False),
        sa.Column("event", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Double, nullable=False),
        sa.Column("token", sa.Text),
        sa.Column("lease_until", sa.Double),
        sa.PrimaryKeyConstraint("webhook", "event", name="pk_deliveries"),
        sa.ForeignKeyConstraint(
            ["webhook"], ["webhooks.id"], ondelete="CASCADE", name="fk_deliveries_webhooks"
        ),
    )
    op.create_index("ix_deliveries_due_at", "deliveries", ["due_at"])


def downgrade() -> None:
    op.drop_table("deliveries")
    op.drop_table("webhooks")
    op.drop_index("ix_events_tenant", "events")
