"""The dialect in the indexes of lists, which show what was asked for in one."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

THERE = sa.text("deleted_at IS NULL")
TIMES = ("started_at", "completed_at", "interrupted_at", "failed_at", "updated_at", "deleted_at")
TEXTS = ("id", "status", "resource", "format", "reference", "reference_origin", "matched", "shown")
INDEXES = {
    "ix_exports_listed": ("tenant", "created_at", *TEXTS, *TIMES),
    "ix_exports_newest": ("created_at", "id"),
    "ix_exports_tenant_status": ("tenant", "status", "created_at"),
    "ix_exports_tenant_resource": ("tenant", "resource", "created_at"),
    "ix_exports_tenant_reference": ("tenant", "reference", "created_at", "id", "deleted_at"),
}


def upgrade() -> None:
    _anew("dialect")


def downgrade() -> None:
    _anew()


def _anew(*more: str) -> None:
    for name, columns in INDEXES.items():
        op.drop_index(name, "exports")
        all_of_it: Sequence[str] = (*columns, *more)
        op.create_index(name, "exports", all_of_it, sqlite_where=THERE, postgresql_where=THERE)
