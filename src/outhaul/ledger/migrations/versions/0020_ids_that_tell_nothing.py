"""Ids of events and callbacks that do not count those of others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

DRAWN = {
    "sqlite": "lower(hex(randomblob(8)))",
    "postgresql": "substr(md5(random()::text || clock_timestamp()::text || id), 1, 16)",
}


def upgrade() -> None:
    for table in ("events", "callbacks"):
        op.add_column(table, sa.Column("public", sa.Text))
        op.execute(f"UPDATE {table} SET public = {DRAWN[op.get_bind().dialect.name]}")  # noqa: S608  # all ours
        op.create_index(f"ix_{table}_public", table, ["public"], unique=True)


def downgrade() -> None:
    for table in ("events", "callbacks"):
        op.drop_index(f"ix_{table}_public", table)
        op.drop_column(table, "public")
