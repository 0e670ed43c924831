"""Related rows in files of their own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("fragments", "artifacts"):
        op.add_column(table, sa.Column("path", sa.Text, nullable=False, server_default=""))


def downgrade() -> None:
    for table in ("fragments", "artifacts"):
        op.drop_column(table, "path")
