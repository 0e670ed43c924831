"""Which right a role lacks, and the GRANT that gives it."""

from __future__ import annotations

from outhaul.errors import OuthaulError, SourceForbids
from outhaul.sources._copy import Wire
from outhaul.sources._select import Place

RIGHTS = """
SELECT quote_ident(n.nspname), format('%I.%I', n.nspname, c.relname), quote_ident(current_user),
       has_schema_privilege(n.oid, 'USAGE'), has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid)
FROM unnest($1::text[], $2::text[]) AS given(schema, name)
JOIN pg_class c ON c.relname = given.name JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE CASE WHEN given.schema IS NULL THEN pg_table_is_visible(c.oid) ELSE n.nspname = given.schema END
ORDER BY 2
"""


def missing_rights(wire: Wire, places: list[Place], error: OuthaulError) -> SourceForbids:
    """The same complaint with the statements that cure it. Ends the transaction."""
    wire.execute("ROLLBACK")
    rows = wire.fetch(RIGHTS, [schema for schema, _ in places], [name for _, name in places])
    schemas = dict.fromkeys(schema for schema, _, _, usage, _, _ in rows if not usage)
    closed = [name for _, name, _, _, select, _ in rows if not select]
    hiding = [name for _, name, _, _, _, hides in rows if hides]
    role = rows[0][2] if rows else ""
    cures = [f"GRANT USAGE ON SCHEMA {', '.join(schemas)} TO {role};"] if schemas else []
    cures += [f"GRANT SELECT ON {', '.join(closed)} TO {role};"] if closed else []
    if hiding and not cures:
        words = f"Row-level security of {', '.join(hiding)} would hide rows from {role}, and no row may be missing."
        hint = f"ALTER ROLE {role} BYPASSRLS; or a role for which the policies do not count."
        return SourceForbids(words, hint=hint, facts={"tables": hiding})
    hint = f"As the owner: {' '.join(cures)}" if cures else error.hint
    return SourceForbids(error.message, hint=hint, facts={"tables": closed})
