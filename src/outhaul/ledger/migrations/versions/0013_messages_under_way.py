"""An index for the messages that are under way, which are few."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

HELD = sa.text("token IS NOT NULL")


def upgrade() -> None:
    op.create_index("ix_deliveries_held", "deliveries", ["webhook"], sqlite_where=HELD, postgresql_where=HELD)


def downgrade() -> None:
    op.drop_index("ix_deliveries_held", "deliveries")
