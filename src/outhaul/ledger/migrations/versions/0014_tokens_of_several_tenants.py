"""The tenants that a token reaches besides the one that it is for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("others", sa.JSON))


def downgrade() -> None:
    with op.batch_alter_table("tokens") as table:
        table.drop_column("others")
