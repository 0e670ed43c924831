"""API clients, and signed tokens that were ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("kind", sa.Text))
    op.create_table(
        "ended",
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("expires_at", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("ended")
    op.drop_column("tokens", "kind")
