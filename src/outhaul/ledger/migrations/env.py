"""Runs the revisions on the connection that `Ledger.migrate` hands over."""

from __future__ import annotations

from alembic import context

from outhaul.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
context.run_migrations()
