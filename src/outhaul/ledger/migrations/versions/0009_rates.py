"""Rates of requests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rates",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("hits", sa.JSON, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_index("ix_rates_until", "rates", ["until"])


def downgrade() -> None:
    op.drop_table("rates")
