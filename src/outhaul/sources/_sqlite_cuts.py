"""Places that cut a SQLite table into even runs: from rows at even steps of their numbers, never by a scan."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name

from outhaul.blocks import Cut, Range
from outhaul.filters import expression
from outhaul.plan import By, Node
from outhaul.sources._order import Element, Placing, Step, Truth, steps
from outhaul.sources._select import limits, say, tree
from outhaul.sources._sqlite_library import Library
from outhaul.sources._sqlite_text import TONGUE, statement

SAMPLED = 400  # rows; borders within a few percent, whatever the size of the table


# Keys are compared by the collation of their column.
BY_KEY = Placing(lambda element, _: element, TONGUE.bound)


def by_order(
    library: Library,
    node: Node,
    rowid: str,
    span: tuple[int, int],
    order: tuple[By, ...],
    wanted: int,
    placing: Placing,
) -> list[Cut]:
    """Texts of the columns of `order`, fewer than `wanted` cuts, none where the values cannot be told by their text.

    `rowid`: its name; `span`: the smallest and the largest.
    """
    table = tree(node, TONGUE, "csv").root
    walk = steps(order, table, placing)
    texts = [TONGUE.text(table.c[one.column.column], one.column, "csv")[0] for one in order]
    select = (
        sa.select(*texts)
        .select_from(table)
        .where(_sampled(node.table, rowid, span, max(SAMPLED, 4 * wanted)))
        .where(expression(node.where, table, "sqlite"), *_told(walk, texts))
        .order_by(*(step.clause() for step in walk))
    )
    found = library.fetch(*statement(select))
    cuts = (found[len(found) * number // wanted] for number in range(1, wanted) if found)
    return list(dict.fromkeys(cut for cut in cuts if cut != found[0]))


def head(library: Library, node: Node, rows: int, low: Cut | None) -> Range:
    """The range of the first rows from `low` on, by key or in the order that was asked for; open where there are no
    more, or where none can be told by its text."""
    query = tree(replace(node, columns=(), children=()), TONGUE, "csv")
    order = node.sort or tuple(By(column) for column in node.key)
    walk = query.steps or steps(order, query.root, BY_KEY)
    texts = [TONGUE.text(query.root.c[one.column.column], one.column, "csv")[0] for one in order]
    here = Range("sort" if node.sort else "key", low)
    found = sa.select(*texts).select_from(query.base).where(*query.where, *limits(query, TONGUE, here))
    found = found.where(*_told(walk, texts)).order_by(
        *(step.clause() if node.sort else step.element for step in walk)
    )
    after = library.fetch(*statement(found.limit(say("1")).offset(say(str(rows)))))
    return replace(here, high=after[0]) if after else here


def _told(walk: Sequence[Step], texts: Sequence[Element]) -> list[Truth]:
    """A text of a number equals it only where the column's affinity turns it back."""
    return [
        sa.or_(step.element.is_(None), step.element == text) for step, text in zip(walk, texts, strict=True)
    ]


def _sampled(name: str, rowid: str, span: tuple[int, int], points: int) -> sa.ColumnElement[bool]:
    """The rows of the root that come next after even steps of their numbers."""
    low, high = span
    starts = sorted({low + (high - low + 1) * number // points for number in range(points)})
    given = sa.bindparam(None, json.dumps(starts), type_=sa.Text(), unique=True)
    starting = sa.func.json_each(given).table_valued("value").alias("p")
    number: sa.ColumnClause[int]
    there, number = sa.table(quoted_name(name, quote=True)).alias("r"), say(f"r.{rowid}")
    next_one = sa.select(number).select_from(there).where(number >= starting.c.value).order_by(number)
    found = sa.select(next_one.limit(say("1")).correlate(starting).scalar_subquery()).select_from(starting)
    return say(f"t0.{rowid}").in_(found)
