"""An index for those who find their exports by reference."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

THERE = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    op.create_index(
        "ix_exports_tenant_reference",
        "exports",
        ["tenant", "reference", "created_at", "id", "deleted_at"],
        sqlite_where=THERE,
        postgresql_where=THERE,
    )


def downgrade() -> None:
    op.drop_index("ix_exports_tenant_reference", "exports")
