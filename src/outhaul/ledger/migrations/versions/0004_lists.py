"""Indexes for lists of many exports, and keys by which one can be asked for twice."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

THERE = sa.text("deleted_at IS NULL")
KEYED = sa.text('"key" IS NOT NULL AND deleted_at IS NULL')
INDEXES = {
    "ix_exports_listed": [
        *("tenant", "created_at", "id", "status", "resource", "format", "reference", "reference_origin"),
        *(
            "matched",
            "shown",
            "started_at",
            "completed_at",
            "interrupted_at",
            "failed_at",
            "updated_at",
            "deleted_at",
        ),
    ],
    "ix_exports_newest": ["created_at", "id"],
    "ix_exports_tenant_status": ["tenant", "status", "created_at"],
    "ix_exports_tenant_resource": ["tenant", "resource", "created_at"],
}


def upgrade() -> None:
    op.add_column("exports", sa.Column("key", sa.Text))
    op.add_column("exports", sa.Column("asked", sa.Text))
    op.drop_index("ix_exports_tenant_created_at", "exports")
    op.create_index("ix_exports_status_expires_at", "exports", ["status", "expires_at"])
    for name, columns in INDEXES.items():
        op.create_index(name, "exports", columns, sqlite_where=THERE, postgresql_where=THERE)
    op.create_index(
        "ix_exports_key",
        "exports",
        ["caller", "key"],
        unique=True,
        sqlite_where=KEYED,
        postgresql_where=KEYED,
    )


def downgrade() -> None:
    op.drop_index("ix_exports_key", "exports")
    for name in INDEXES:
        op.drop_index(name, "exports")
    op.drop_index("ix_exports_status_expires_at", "exports")
    op.create_index("ix_exports_tenant_created_at", "exports", ["tenant", "created_at"])
    op.drop_column("exports", "asked")
    op.drop_column("exports", "key")
