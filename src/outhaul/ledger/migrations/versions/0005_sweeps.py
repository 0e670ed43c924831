"""Indexes for what is to be swept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

GONE = sa.text("deleted_at IS NOT NULL")


def upgrade() -> None:
    op.create_index("ix_exports_status_littered", "exports", ["status", "littered"])
    op.create_index("ix_exports_gone", "exports", ["deleted_at"], sqlite_where=GONE, postgresql_where=GONE)


def downgrade() -> None:
    op.drop_index("ix_exports_gone", "exports")
    op.drop_index("ix_exports_status_littered", "exports")
