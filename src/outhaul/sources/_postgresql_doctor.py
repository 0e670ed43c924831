"""An examination of a PostgreSQL server: version, role, rights, and the statements that make a least-rights role."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from outhaul.sources import Sign
from outhaul.sources._copy import Wire

OLDEST = 14  # reads by ranges of ctid without an index

SERVER = """
SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000, current_user,
       rolsuper, quote_ident(current_database()), pg_is_in_recovery(),
       current_setting('max_connections')::int - (SELECT count(*) FROM pg_stat_activity)
FROM pg_roles WHERE rolname = current_user
"""
TABLES = """
SELECT quote_ident(n.nspname), format('%I.%I', n.nspname, c.relname),
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND c.relpersistence <> 't'
  AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1, 2
"""
SHOWN = 10  # names in one line


def examine(url: str, workers: int) -> Iterator[Sign]:
    """Signs, one after the other; SourceAway and SourceForbids when there is no connection."""
    with closing(_wire(url)) as wire:
        ((version, major, role, superuser, _, standby, free),) = wire.fetch(SERVER)
        tables = wire.fetch(TABLES)
    yield Sign("server", f"PostgreSQL {version}", major >= OLDEST, f"Use PostgreSQL {OLDEST} or newer.")
    yield Sign(
        "role", f"{role}{', a superuser' * superuser}", not superuser, "Make one that only reads, as below."
    )
    yield Sign("standby", "yes: replication may cancel long exports" if standby else "no")
    yield Sign("connections", f"{free} free", free > workers, f"{workers + 1} are needed: fewer --workers.")
    yield _named("tables", [name for _, name, reads, _ in tables if reads], "can be read", "")
    if closed := [name for _, name, reads, _ in tables if not reads]:
        yield _named("rights", closed, "cannot be read", "If they should be: the GRANTs below.")
    if hiding := [name for _, name, _, hides in tables if hides]:
        cure = f"Refused, because no row may be missing: ALTER ROLE {role} BYPASSRLS, or another role."
        yield _named("policies", hiding, "hide rows from this role", cure)


def _named(what: str, names: list[str], how: str, cure: str) -> Sign:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return Sign(what, f"{len(names)} {how}: {', '.join(names[:SHOWN])}{more}", not cure, cure)


def grants(url: str) -> Iterator[str]:
    """Statements for the database's owner: a role that can do what exports need, and nothing else."""
    with closing(_wire(url)) as wire:
        database = wire.fetch(SERVER)[0][4]
        schemas = sorted({row[0] for row in wire.fetch(TABLES)}) or ["public"]
    yield "CREATE ROLE outhaul LOGIN PASSWORD '...';"
    yield f"GRANT CONNECT ON DATABASE {database} TO outhaul;"
    for schema in schemas:
        yield f"GRANT USAGE ON SCHEMA {schema} TO outhaul;"
        yield f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO outhaul;"
        yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO outhaul;"


def _wire(url: str) -> Wire:
    scheme, _, rest = url.partition("://")
    return Wire(
        f"{scheme.partition('+')[0]}://{rest}", "outhaul doctor", {"default_transaction_read_only": "on"}
    )
