"""Flags that operators put up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "flags",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("up_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("flags")
