"""The tables. Times are seconds since 1970 on the database's clock; sizes are bytes."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from outhaul.ledger.clock import now
from outhaul.ledger.ids import fresh

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
    }
)
Time = sa.Double
Size = sa.BigInteger
Data = sa.JSON(none_as_null=True)
Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts up by itself only an INTEGER


def _of_export() -> sa.Column[str]:
    key = sa.ForeignKey("exports.id", ondelete="CASCADE")
    return sa.Column("export", sa.Text, key, primary_key=True)


def _needed(name: str, kind: Any, default: Any = None) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, default=default)


def _public() -> sa.Column[str]:
    """What a row is known by to those who ask: its number would tell how many others there are."""
    return sa.Column("public", sa.Text, default=fresh)


def _path() -> sa.Column[str]:
    """The include path whose rows are the lines of a file of their own, "" for the selection's."""
    return sa.Column("path", sa.Text, nullable=False, server_default="")


exports = sa.Table(
    "exports",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text),
    _needed("caller", sa.Text),
    _needed("dialect", sa.Text),
    _needed("status", sa.Text),
    _needed(
        "checked", sa.Boolean, False
    ),  # whether the plan was held against the catalog since it was queued
    _needed("resource", sa.Text),
    _needed("format", sa.Text),
    _needed("formats", sa.Integer),  # how many: each writes every row
    _needed("draft", Data),
    _needed("plan", Data),
    _needed("consistency", sa.Text),
    sa.Column("reference", sa.Text),
    sa.Column("reference_origin", sa.Text),
    _needed("metadata", Data),
    sa.Column("matched", Size),
    _needed("shown", Size, 0),
    sa.Column("counts", Data),  # per selection: rows matched by include path, "" is the root
    sa.Column("size", Size),
    sa.Column("tables", Data),  # fingerprints under this generation's instant
    _needed("generation", sa.Integer, 1),
    _needed("remakes", sa.Integer, 0),  # generations that were lost to faults since the last start
    _needed("schema_changes", sa.Integer, 0),
    _needed("errors", Data, list),
    sa.Column("manifest", sa.Text),  # key in the store
    _needed("created_at", Time),
    _needed("updated_at", Time),
    sa.Column("queued_at", Time),
    sa.Column("started_at", Time),
    sa.Column("resumed_at", Time),  # the rate is measured from here ...
    _needed("resumed_from", Size, 0),  # ... and from this many rows
    sa.Column("completed_at", Time),
    sa.Column("interrupted_at", Time),
    sa.Column("failed_at", Time),
    sa.Column("expires_at", Time),
    sa.Column("instant_at", Time),  # by the source's clock
    sa.Column("deleted_at", Time),
    _needed("littered", sa.Boolean, True),  # its objects may still be in the store
    sa.Column("key", sa.Text),  # by which the caller can ask twice and get one export ...
    sa.Column("asked", sa.Text),  # ... and the SHA-256 of what was asked
    sa.Index("ix_exports_status", "status"),
    sa.Index("ix_exports_status_expires_at", "status", "expires_at"),
    sa.Index("ix_exports_status_littered", "status", "littered"),
)

# Lists are filtered, sorted and counted in these alone; rows, which are long, are read for the page that is shown.
LISTED = (
    *(
        "created_at",
        "id",
        "status",
        "resource",
        "format",
        "reference",
        "reference_origin",
        "matched",
        "shown",
    ),
    *("started_at", "completed_at", "interrupted_at", "failed_at", "updated_at", "deleted_at"),
)
THERE = exports.c.deleted_at.is_(None)
for name, columns in {
    "ix_exports_listed": ("tenant", *LISTED),
    "ix_exports_newest": ("created_at", "id"),
    "ix_exports_tenant_status": ("tenant", "status", "created_at"),
    "ix_exports_tenant_resource": ("tenant", "resource", "created_at"),
    "ix_exports_tenant_reference": ("tenant", "reference", "created_at", "id", "deleted_at"),
}.items():
    seen = (exports.c[column] for column in (*columns, "dialect"))
    sa.Index(name, *seen, sqlite_where=THERE, postgresql_where=THERE)
GONE = exports.c.deleted_at.is_not(None)
sa.Index("ix_exports_gone", exports.c.deleted_at, sqlite_where=GONE, postgresql_where=GONE)
KEYED = sa.and_(exports.c.key.is_not(None), THERE)
UNOWNED = sa.and_(exports.c.tenant.is_(None), KEYED)
# Two, because no NULL is equal to another.
for name, columns, where in (
    ("ix_exports_tenant_key", ("tenant", "caller", "key"), KEYED),
    ("ix_exports_unowned_key", ("caller", "key"), UNOWNED),
):
    keys = (exports.c[column] for column in columns)
    sa.Index(name, *keys, unique=True, sqlite_where=where, postgresql_where=where)

# Every resource that an export reads, its includes too: a caller limited to some must be allowed all of them.
reads = sa.Table(
    "reads",
    metadata,
    _of_export(),
    sa.Column("resource", sa.Text, primary_key=True),
)

parts = sa.Table(
    "parts",
    metadata,
    _of_export(),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    _needed("generation", sa.Integer),
    _needed("selection", sa.Integer),
    _needed("format", sa.Text),
    _needed("range", Data),
    _needed("state", sa.Text),  # new | queued | running | done | failed
    _needed("attempt", sa.Integer, 0),
    _needed("tries", sa.Integer, 0),  # attempts that failed or lapsed since the last start
    sa.Column("token", sa.Text),
    sa.Column("worker", sa.Text),
    sa.Column("lease_until", Time),
    _needed("ready_at", Time, now()),
    _needed("processed", Size, 0),
    _needed("rows", Size, 0),
    _needed("related", Data, dict),
    sa.Column("error", Data),
    sa.Column("started_at", Time),
    sa.Column("ended_at", Time),
    sa.Column("matched", Data),  # of a part of its own instant: rows by include path under it, "" is the root
    sa.Column("instant_at", Time),
    sa.Index("ix_parts_state", "state"),
)

fragments = sa.Table(
    "fragments",
    metadata,
    _of_export(),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    _needed("generation", sa.Integer),
    _needed("attempt", sa.Integer),
    _needed("selection", sa.Integer),
    _needed("format", sa.Text),
    _needed("key", sa.Text),
    _needed("length", Size),
    _needed("raw_length", Size),
    _needed("crc32", Size),
    _needed("rows", Size),
    _needed("sha256", sa.Text),
    _needed("related", Data),
    _path(),
    sa.Column("text_sha256", sa.Text),  # where it is compressed, and to be a member of an archive
)

artifacts = sa.Table(
    "artifacts",
    metadata,
    _of_export(),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    _needed("selection", sa.Integer),
    _needed("format", sa.Text),
    _needed("name", sa.Text),
    _needed("media_type", sa.Text),
    _needed("length", Size),
    _needed("raw_length", Size),
    _needed("crc32", Size),
    _needed("rows", Size),
    _needed("etag", sa.Text),
    _needed("layout", Data),
    _path(),
    sa.Column("sha1", sa.Text),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    _of_export(),
    _needed("generation", sa.Integer),
    _needed("ref", sa.Text),  # names this one wish: a late answer to an older one finds no row
    _needed("state", sa.Text),  # wanted | held | lost | released
    _needed("own", sa.Boolean, False),  # a worker's own transaction: only its holder can read under it
    sa.Column("snapshot", sa.Text),
    sa.Column("holder", sa.Text),
    sa.Column("lease_until", Time),
    sa.Column("instant_at", Time),
    sa.Column("held_at", Time),
    sa.Column("error", Data),
    sa.Index("ix_snapshots_state", "state"),
)

# No foreign key: what happened to an export is told after its removal too.
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", Serial, primary_key=True),
    _needed("export", sa.Text),
    sa.Column("tenant", sa.Text),
    _needed("name", sa.Text),
    _needed("at", Time, now()),
    _needed("who", sa.Text),
    _needed("data", Data),
    # What somebody has added since, and when.
    sa.Column("updated_at", Time),
    sa.Column("reference", sa.Text),
    sa.Column("reference_origin", sa.Text),
    sa.Column("metadata", Data),
    _public(),
    sa.Index("ix_events_export", "export", "id"),
    sa.Index("ix_events_public", "public", unique=True),
    sa.Index("ix_events_tenant", "tenant", "id"),
)

tokens = sa.Table(
    "tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column(
        "hash", sa.Text, unique=True, nullable=False
    ),  # SHA-256; the token itself is shown once, at making
    _needed("name", sa.Text),
    sa.Column("tenant", sa.Text),
    _needed("all_tenants", sa.Boolean),
    _needed("resources", Data),
    _needed("read_only", sa.Boolean),
    _needed("created_at", Time, now()),
    sa.Column("expires_at", Time),
    sa.Column("revoked_at", Time),
    sa.Column("used_at", Time),
    sa.Column("max_records", Size),
    sa.Column("max_bytes", Size),
    sa.Column("kind", sa.Text),  # of an API client, whose secret the hash is of; nothing for a token itself
    sa.Column("others", Data),  # tenants that it reaches besides
)

# Signed tokens that were ended before their time; once that has come, nothing is kept of them.
ended = sa.Table(
    "ended",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    _needed("expires_at", Time),
)

webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text),
    _needed("maker", sa.Text),
    _needed("dialect", sa.Text),
    _needed("event", sa.Text),
    _needed("url", sa.Text),
    sa.Column("name", sa.Text),
    _needed("include", Data, list),
    _needed("salt", sa.Text),
    _needed("key", sa.Text),
    _needed("created_at", Time, now()),
    _needed("updated_at", Time, now()),
    sa.Column("disabled_at", Time),
    sa.Column("opened_at", Time),
    _needed("failures", sa.Integer, 0),  # in a row
    sa.Column("reference", sa.Text),
    sa.Column("reference_origin", sa.Text),
    _needed("metadata", Data, dict),
    sa.Index("ix_webhooks_event", "event", "tenant"),
)

# The outbox. No row is named anew, as numbers of rows would be on SQLite: receivers drop doubles by the event's.
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("webhook", sa.Text, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("event", sa.BigInteger, primary_key=True, autoincrement=False),
    _needed("tries", sa.Integer, 0),
    _needed("due_at", Time, now()),
    sa.Column("token", sa.Text),
    sa.Column("lease_until", Time),
    sa.Index("ix_deliveries_due_at", "due_at"),
    sa.Index("ix_deliveries_next", "webhook", "due_at", "event"),
)
HELD = deliveries.c.token.is_not(None)
sa.Index("ix_deliveries_held", deliveries.c.webhook, sqlite_where=HELD, postgresql_where=HELD)

# The last tries to tell each webhook.
callbacks = sa.Table(
    "callbacks",
    metadata,
    sa.Column("id", Serial, primary_key=True),
    sa.Column("webhook", sa.Text, sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    _needed("event", sa.BigInteger),
    _needed("url", sa.Text),
    sa.Column("status", sa.Integer),  # of the answer, if there was one
    sa.Column("why", sa.Text),  # it was not taken
    _needed("at", Time, now()),
    sa.Column("payload", sa.Text),  # what was sent, of the last few
    _public(),
    sa.Index("ix_callbacks_public", "public", unique=True),
    sa.Index("ix_callbacks_webhook", "webhook", "id"),
    sa.Index("ix_callbacks_event", "event", "id"),
    sqlite_autoincrement=True,  # or the number of one that is gone would be another's
)

# How many requests were let in under each rate; see `rates.py`.
rates = sa.Table(
    "rates",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    _needed("hits", Data),
    _needed("until", Time),  # when they count no more
    sa.Index("ix_rates_until", "until"),
)

# What an operator has put up for every process at once; without a row it is down.
CLOSED = "maintenance"  # the flag of closed doors
flags = sa.Table(
    "flags",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _needed("up_at", Time),
)
