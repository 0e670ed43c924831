"""References of events, what was sent to webhooks, and an index for the next message to each."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0014"
branch_labels = None
depends_on = None

ADDED: dict[str, Any] = {
    "updated_at": sa.Double,
    "reference": sa.Text,
    "reference_origin": sa.Text,
    "metadata": sa.JSON(none_as_null=True),
}


def upgrade() -> None:
    for name, kind in ADDED.items():
        op.add_column("events", sa.Column(name, kind))
    op.add_column("callbacks", sa.Column("payload", sa.Text))
    op.create_index("ix_deliveries_next", "deliveries", ["webhook", "due_at", "event"])


def downgrade() -> None:
    op.drop_index("ix_deliveries_next", "deliveries")
    op.drop_column("callbacks", "payload")
    for name in ADDED:
        op.drop_column("events", name)
