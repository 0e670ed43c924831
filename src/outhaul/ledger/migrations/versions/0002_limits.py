"""Limits of tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("max_records", sa.BigInteger))
    op.add_column("tokens", sa.Column("max_bytes", sa.BigInteger))


def downgrade() -> None:
    op.drop_column("tokens", "max_bytes")
    op.drop_column("tokens", "max_records")
