"""Whole exports as one archive: hashes of its members' texts, and of the archive."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ADDED = {"fragments": "text_sha256", "artifacts": "sha1"}


def upgrade() -> None:
    for table, column in ADDED.items():
        op.add_column(table, sa.Column(column, sa.Text))


def downgrade() -> None:
    for table, column in ADDED.items():
        with op.batch_alter_table(table) as changed:
            changed.drop_column(column)
