"""Parts of their own instants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("parts", sa.Column("matched", sa.JSON(none_as_null=True)))
    op.add_column("parts", sa.Column("instant_at", sa.Double))


def downgrade() -> None:
    op.drop_column("parts", "instant_at")
    op.drop_column("parts", "matched")
