"""Reads what is there in a SQLite file, from its own pragmas, without writing a byte."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from outhaul.catalog import Catalog, Field, Hidden, Type
from outhaul.errors import SourceAway
from outhaul.sources._reflect import ForeignKey, Table, catalog, distinct
from outhaul.sources._sqlite_library import file_of, read_only

PATIENCE = 5.0  # seconds to wait for a writer's lock

# Declared types that mean more than their affinity, with the storage class to cast to.
MEANT: dict[str, tuple[Type, str]] = {
    **dict.fromkeys(("BOOL", "BOOLEAN"), (Type.BOOLEAN, "INTEGER")),
    **dict.fromkeys(("DATETIME", "TIMESTAMP", "TIMESTAMP WITHOUT TIME ZONE"), (Type.TIMESTAMP, "TEXT")),
    **dict.fromkeys(("TIMESTAMPTZ", "DATETIMETZ", "TIMESTAMP WITH TIME ZONE"), (Type.INSTANT, "TEXT")),
    "DATE": (Type.DATE, "TEXT"),
    "TIME": (Type.TIME, "TEXT"),
    **dict.fromkeys(("DECIMAL", "NUMERIC", "NUMBER", "DEC", "MONEY"), (Type.DECIMAL, "NUMERIC")),
    **dict.fromkeys(("JSON", "JSONB"), (Type.JSON, "TEXT")),
    **dict.fromkeys(("UUID", "GUID"), (Type.UUID, "TEXT")),
    **dict.fromkeys(("BINARY", "VARBINARY", "BYTEA"), (Type.BINARY, "BLOB")),
    "INTERVAL": (Type.OTHER, "TEXT"),  # its letters INT would make it a number
}
# "Determination Of Column Affinity" in SQLite's documentation, in its order.
AFFINITIES: tuple[tuple[str, tuple[Type, str]], ...] = (
    (r"INT", (Type.INTEGER, "INTEGER")),
    (r"CHAR|CLOB|TEXT", (Type.TEXT, "TEXT")),
    (r"BLOB", (Type.BINARY, "BLOB")),
    (r"REAL|FLOA|DOUB", (Type.FLOAT, "REAL")),
    (r"", (Type.OTHER, "TEXT")),
)


def reflect(url: str) -> Catalog:
    """Every table and view of the file; SourceAway when it cannot be opened or is no database."""
    path = file_of(url)
    try:
        with closing(sqlite3.connect(read_only(path), uri=True, timeout=PATIENCE)) as connection:
            return _Reflection(connection).catalog()
    except sqlite3.Error as error:
        raise SourceAway(
            f"The SQLite file {path} cannot be read: {error}.", hint="Is the path right?"
        ) from error


class _Reflection:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.hidden: list[Hidden] = []

    def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql, values).fetchall()

    def catalog(self) -> Catalog:
        self.connection.execute("BEGIN")
        return catalog("sqlite", list(self._tables()), self.hidden)

    def _tables(self) -> Iterator[Table]:
        listed = self.rows(
            "SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main' "
            "AND name NOT LIKE 'sqlite!_%' ESCAPE '!' AND type <> 'shadow' ORDER BY name"
        )
        self.names = {_folded(name): name for name, *_ in listed}
        for name, kind, *ways in listed:
            if kind == "virtual":
                self.hidden.append(Hidden(name, None, "a virtual table: it is made of other tables"))
                continue
            try:
                yield self._table(name, kind, never_null=any(ways))
            except sqlite3.DatabaseError as error:
                self.hidden.append(Hidden(name, None, f"cannot be read: {error}"))

    def _table(self, name: str, kind: str, *, never_null: bool) -> Table:
        columns = self.rows(
            'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid', name
        )
        primary = [column for column, _, _, position in sorted(columns, key=lambda row: row[3]) if position]
        if kind == "view":
            return Table(None, name, kind, tuple(_field(row[0], row[1], nullable=True) for row in columns))
        whole = never_null or self._whole(name, columns)
        fields = (
            _field(column, declared, nullable=not (notnull or (position and whole)))
            for column, declared, notnull, position in columns
        )
        unique = distinct([primary] * bool(primary) + self._unique(name))
        return Table(None, name, kind, tuple(fields), unique, tuple(self._foreign(name, columns)))

    def _whole(self, table: str, columns: list[tuple[Any, ...]]) -> bool:
        """No NULL in the primary key, which SQLite allows in every table that is neither STRICT nor WITHOUT ROWID."""
        loose = [name for name, _, notnull, position in columns if position and not notnull]
        null = " OR ".join(f"{_quoted(name)} IS NULL" for name in loose)
        some = f"SELECT 1 FROM {_quoted(table)} WHERE {null} LIMIT 1"  # noqa: S608  # names quoted by `_quoted`
        return not loose or not self.rows(some)

    def _unique(self, table: str) -> list[list[str]]:
        """Columns of each unique index that covers every row."""
        indexes = self.rows(
            'SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial ORDER BY name', table
        )
        sets = []
        for (index,) in indexes:
            columns = [
                name
                for (name,) in self.rows(
                    "SELECT name FROM pragma_index_xinfo(?) WHERE key ORDER BY seqno", index
                )
            ]
            if None not in columns:  # an expression has no name
                sets.append(columns)
        return sets

    def _foreign(self, table: str, columns: list[tuple[Any, ...]]) -> Iterator[ForeignKey]:
        here = {_folded(row[0]): row[0] for row in columns}
        keys: dict[int, list[tuple[str, str, str | None]]] = {}
        listed = self.rows(
            'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq', table
        )
        for number, *pair in listed:
            keys.setdefault(number, []).append(tuple(pair))
        for pairs in keys.values():
            target = self.names.get(_folded(pairs[0][0]), pairs[0][0])
            near = tuple(here.get(_folded(name), name) for _, name, _ in pairs)
            far = self._far(target, [name for *_, name in pairs])
            # One that does not fit is passed on with columns that nothing has, to be listed as astray.
            yield ForeignKey(near, (None, target), far if len(far) == len(near) else ("",) * len(near))

    def _far(self, target: str, names: list[str | None]) -> tuple[str, ...]:
        """The columns there; a foreign key that names none points to the primary key."""
        rows = self.rows("SELECT name, pk FROM pragma_table_xinfo(?) ORDER BY pk, cid", target)
        spelled = {_folded(name): name for name, _ in rows}
        told = [name for name in names if name is not None]
        return tuple(spelled.get(_folded(name), name) for name in told) or tuple(
            name for name, pk in rows if pk
        )


def _folded(name: str) -> str:
    """Names are equal there whatever the case of their ASCII letters, and of these alone."""
    return name.encode().lower().decode()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _field(name: str, declared: str, *, nullable: bool) -> Field:
    kind, native = meaning(declared)
    scale = re.search(r"\(\s*\d+\s*(?:,\s*(\d+)\s*)?\)", declared) if kind is Type.DECIMAL else None
    decimals = int(scale[1] or 0) if scale else None
    return Field(name, name, kind, native, nullable, decimals, declared=declared)


def meaning(declared: str) -> tuple[Type, str]:
    """The core type of a declared type, and the storage class to cast to."""
    word = " ".join(re.sub(r"\(.*?\)", " ", declared.upper()).split())
    if word in MEANT:
        return MEANT[word]
    return next(found for pattern, found in AFFINITIES if re.search(pattern, word))
