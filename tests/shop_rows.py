"""A small shop: its tables, and any selection of it made by nested loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from outhaul.plan import Node

SCHEMA = """
CREATE TABLE countries (id text PRIMARY KEY, name text)
CREATE TABLE customers (id int PRIMARY KEY, country_id text REFERENCES countries, name text)
CREATE TABLE addresses (id int PRIMARY KEY, customer_id int REFERENCES customers, city text)
CREATE TABLE skus (code text PRIMARY KEY, name text)
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, status text)
CREATE TABLE lines (order_id int REFERENCES orders, n int, sku_id text REFERENCES skus, PRIMARY KEY (order_id, n))
CREATE TABLE notes (id int PRIMARY KEY, order_id int, n int, words text, FOREIGN KEY (order_id, n) REFERENCES lines)
CREATE TABLE marks (note_id int REFERENCES notes, mark text, PRIMARY KEY (note_id, mark))
"""


DATA: dict[str, list[tuple[Any, ...]]] = {
    "countries": [("at", "Austria"), ("ch", None), ("de", "")],
    "customers": [(i, (None, "at", "ch")[i % 3], f"customer {i}") for i in range(1, 8)],
    "addresses": [(i, 1 + i * 5 % 7, f"city {i}") for i in range(1, 12)],
    "skus": [(f"S-{i:02}", f'thing, "{i}"\n') for i in range(5)],
    "orders": [(i * 3, None if i % 4 == 0 else 1 + i % 7, "open" if i % 2 else "paid") for i in range(1, 41)],
    "lines": [
        (i * 3, n, None if n == 2 else f"S-{(i + n) % 5:02}") for i in range(1, 41) for n in range(i % 5)
    ],
    "notes": [(100 - i, (1 + i % 40) * 3, 0, f"note {i}") for i in range(60) if (1 + i % 40) % 5],
    "marks": [],
}


DATA["marks"] = [(note[0], mark) for note in DATA["notes"] for mark in ("x", "y", "z")[: note[0] % 4]]

WHOLE = ("customer.country", "customer.addresses", "lines.sku", "lines.notes.marks")

Predicate = Callable[[Mapping[str, Any]], bool]


def slow(node: Node, where: Mapping[str, Predicate]) -> list[dict[str, Any]]:
    """The selection made from DATA by nested loops."""
    names = {line.split()[2]: _names(line) for line in SCHEMA.strip().splitlines()}
    tables = {
        table: [dict(zip(names[table], row, strict=True)) for row in found] for table, found in DATA.items()
    }
    return _slow(node, "", tables, where, lambda _: True)


def _names(line: str) -> list[str]:
    words = (part.split()[0] for part in line.partition("(")[2].split(", "))
    return [word for word in words if (word.isidentifier() and word.islower()) or word == "n"]


def _slow(
    node: Node, at: str, tables: Mapping[str, Any], where: Mapping[str, Predicate], joined: Predicate
) -> list[dict[str, Any]]:
    made = []
    keys = [column.column for column in node.key]
    for row in sorted(tables[node.table], key=lambda row: [row[name] for name in keys]):
        if not (joined(row) and where.get(at, lambda _: True)(row)):
            continue
        out = {column.key: _said(row[column.column]) for column in node.columns}
        for child in node.children:
            path = f"{at}.{child.name}".strip(".")
            below = _slow(child, path, tables, where, _pairs(row, child))
            out[child.name] = below if child.many else (below[0] if below else None)
        made.append(out)
    return made


def _pairs(row: Mapping[str, Any], child: Node) -> Predicate:
    return lambda there: all(row[here] is not None and row[here] == there[far] for here, far in child.on)


def _said(value: Any) -> Any:
    return ("number", str(value)) if isinstance(value, int) else value


def counted(found: list[dict[str, Any]], node: Node, at: str = "") -> dict[str, int]:
    """Rows by include path, as they were read."""
    total = {at: len(found)} if node.many or not at else {}
    for child in node.children:
        below = [row[child.name] for row in found if row[child.name] is not None]
        flat = [one for many in below for one in many] if child.many else below
        total |= counted(flat, child, f"{at}.{child.name}".strip("."))
    return total
