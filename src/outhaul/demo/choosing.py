"""What the demo exports from a database it has never seen: its largest resource with relations, and two flat ones."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from outhaul import hiding, siblings, sources
from outhaul.catalog import Catalog, Resource
from outhaul.demo import database
from outhaul.demo.asking import Want
from outhaul.errors import Misconfigured

MOST_INCLUDES = 3


def absolute(url: str) -> str:
    """The URL without a driver's name, and with a SQLite file's whole path: the service runs in another folder."""
    parsed = sa.make_url(url)
    kind = parsed.get_backend_name()
    parsed = parsed.set(drivername={"postgres": "postgresql"}.get(kind, kind))
    if kind == "sqlite" and parsed.database:
        parsed = parsed.set(database=str(Path(parsed.database).absolute()))
    return parsed.render_as_string(hide_password=False)


def catalog(url: str) -> Catalog:
    """What the service offers of this database when no catalog file trims it."""
    return hiding.offered(siblings.load(sources, sa.make_url(url).get_backend_name()).reflect(url))


def largest(url: str, catalog: Catalog) -> tuple[Want, ...]:
    """Up to three exports: the largest resource that has a key, nested, then flat, then the next one flat."""
    with database.engine(url).connect() as connection:
        keyed = [each for each in catalog.resources.values() if each.key]
        sizes = {each.name: database.rows_of(connection, each) for each in keyed}
    keyed.sort(key=lambda each: -sizes[each.name])
    if not keyed:
        raise Misconfigured(
            "The database has no table with a key.", hint="The demo needs one, to compare by it."
        )
    nested = next((each for each in keyed if each.relationships), keyed[0])
    return (
        Want(nested.name, "json", _includes(nested), "gzip"),
        Want(keyed[0].name, "csv"),
        *(Want(each.name, "ndjson") for each in keyed[1:2]),
    )


def _includes(resource: Resource) -> tuple[str, ...]:
    return tuple(each.name for each in resource.relationships[:MOST_INCLUDES])
