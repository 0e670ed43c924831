"""Keys, by which one export can be asked for twice, belong to a caller within a tenant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

KEYED = '"key" IS NOT NULL AND deleted_at IS NULL'
INDEXES = {
    "ix_exports_tenant_key": (["tenant", "caller", "key"], KEYED),
    "ix_exports_unowned_key": (["caller", "key"], f"tenant IS NULL AND {KEYED}"),
}


def upgrade() -> None:
    op.drop_index("ix_exports_key", "exports")
    for name, (columns, condition) in INDEXES.items():
        _make(name, columns, condition)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "exports")
    _make("ix_exports_key", ["caller", "key"], KEYED)


def _make(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "exports", columns, unique=True, sqlite_where=where, postgresql_where=where)
