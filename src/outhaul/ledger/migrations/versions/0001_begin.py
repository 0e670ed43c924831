"""The tables of the first version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DATA = sa.JSON(none_as_null=True)
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _exports()
    _reads()
    _parts()
    _fragments()
    _artifacts()
    _snapshots()
    _events()
    _tokens()


def downgrade() -> None:
    op.drop_table("tokens")
    op.drop_table("events")
    op.drop_table("snapshots")
    op.drop_table("artifacts")
    op.drop_table("fragments")
    op.drop_table("parts")
    op.drop_table("reads")
    op.drop_table("exports")


def _exports() -> None:
    op.create_table(
        "exports",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("dialect", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("checked", sa.Boolean, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("formats", sa.Integer, nullable=False),
        sa.Column("draft", DATA, nullable=False),
        sa.Column("plan", DATA, nullable=False),
        sa.Column("consistency", sa.Text, nullable=False),
        sa.Column("reference", sa.Text),
        sa.Column("reference_origin", sa.Text),
        sa.Column("metadata", DATA, nullable=False),
        sa.Column("matched", sa.BigInteger),
        sa.Column("shown", sa.BigInteger, nullable=False),
        sa.Column("counts", DATA),
        sa.Column("size", sa.BigInteger),
        sa.Column("tables", DATA),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("remakes", sa.Integer, nullable=False),
        sa.Column("schema_changes", sa.Integer, nullable=False),
        sa.Column("errors", DATA, nullable=False),
        sa.Column("manifest", sa.Text),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("updated_at", sa.Double, nullable=False),
        sa.Column("queued_at", sa.Double),
        sa.Column("started_at", sa.Double),
        sa.Column("resumed_at", sa.Double),
        sa.Column("resumed_from", sa.BigInteger, nullable=False),
        sa.Column("completed_at", sa.Double),
        sa.Column("interrupted_at", sa.Double),
        sa.Column("failed_at", sa.Double),
        sa.Column("expires_at", sa.Double),
        sa.Column("instant_at", sa.Double),
        sa.Column("deleted_at", sa.Double),
        sa.Column("littered", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_exports"),
    )
    op.create_index("ix_exports_status", "exports", ["status"])
    op.create_index("ix_exports_tenant_created_at", "exports", ["tenant", "created_at"])


def _reads() -> None:
    op.create_table(
        "reads",
        sa.Column("export", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["export"], ["exports.id"], name="fk_reads_exports", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("export", "resource", name="pk_reads"),
    )


def _parts() -> None:
    op.create_table(
        "parts",
        sa.Column("export", sa.Text, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("selection", sa.Integer, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("range", DATA, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("token", sa.Text),
        sa.Column("worker", sa.Text),
        sa.Column("lease_until", sa.Double),
        sa.Column("ready_at", sa.Double, nullable=False),
        sa.Column("processed", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("related", DATA, nullable=False),
        sa.Column("error", DATA),
        sa.Column("started_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.ForeignKeyConstraint(["export"], ["exports.id"], name="fk_parts_exports", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("export", "n", name="pk_parts"),
    )
    op.create_index("ix_parts_state", "parts", ["state"])


def _fragments() -> None:
    op.create_table(
        "fragments",
        sa.Column("export", sa.Text, nullable=False),
        sa.Column("part", sa.Integer, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("selection", sa.Integer, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("raw_length", sa.BigInteger, nullable=False),
        sa.Column("crc32", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("related", DATA, nullable=False),
        sa.ForeignKeyConstraint(["export"], ["exports.id"], name="fk_fragments_exports", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("export", "part", "seq", name="pk_fragments"),
    )


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("export", sa.Text, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("selection", sa.Integer, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("raw_length", sa.BigInteger, nullable=False),
        sa.Column("crc32", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("etag", sa.Text, nullable=False),
        sa.Column("layout", DATA, nullable=False),
        sa.ForeignKeyConstraint(["export"], ["exports.id"], name="fk_artifacts_exports", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("export", "n", name="pk_artifacts"),
    )


def _snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("export", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("own", sa.Boolean, nullable=False),
        sa.Column("snapshot", sa.Text),
        sa.Column("holder", sa.Text),
        sa.Column("lease_until", sa.Double),
        sa.Column("instant_at", sa.Double),
        sa.Column("held_at", sa.Double),
        sa.Column("error", DATA),
        sa.ForeignKeyConstraint(["export"], ["exports.id"], name="fk_snapshots_exports", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("export", name="pk_snapshots"),
    )
    op.create_index("ix_snapshots_state", "snapshots", ["state"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", SERIAL, nullable=False),
        sa.Column("export", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("data", DATA, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
    )
    op.create_index("ix_events_export", "events", ["export", "id"])


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("tenant", sa.Text),
        sa.Column("all_tenants", sa.Boolean, nullable=False),
        sa.Column("resources", DATA, nullable=False),
        sa.Column("read_only", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Double, nullable=False),
        sa.Column("expires_at", sa.Double),
        sa.Column("revoked_at", sa.Double),
        sa.Column("used_at", sa.Double),
        sa.PrimaryKeyConstraint("id", name="pk_tokens"),
        sa.UniqueConstraint("hash", name="uq_tokens_hash"),
    )
