"""The tree of a selection as SELECTs: one for the root and one for each to-many node, in SQLAlchemy Core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, pairwise
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.sql.elements import quoted_name

from outhaul.blocks import Cut, Kind, Path, Range
from outhaul.catalog import Type
from outhaul.filters import All, Condition, Either, Exists, Not, Test, expression
from outhaul.plan import Column, Node
from outhaul.sources._order import Placing, Step, between, steps
from outhaul.tabular import LINES

Style = Literal["csv", "json", "typed"]
Element = sa.ColumnElement[Any]
Text = Callable[[Element, Column, Style], tuple[Element, Kind]]
Bound = Callable[[str, Column], Element]
Place = tuple[str | None, str]
Edge = tuple[str, Cut]  # a comparison, and the key text that the root's key is compared with

say = sa.literal_column

# Text is left out: its order is that of a collation, which may be another one on each side of a foreign key.
SAME_ORDER = frozenset({Type.INTEGER, Type.DECIMAL, Type.UUID, Type.DATE, Type.TIMESTAMP, Type.INSTANT})


@dataclass(frozen=True, slots=True)
class Tongue:
    """What a source must be able to say: a value as text with its kind, and a text as a value of a key column."""

    name: Literal["postgresql", "sqlite"]
    text: Text
    bound: Bound
    placing: Placing


@dataclass(frozen=True, slots=True)
class Query:
    """The rows of the root or of a to-many node, with those of the to-one nodes below it.

    `path`: names from the parent query's node; `name`: dotted, from the root. `base` joins only what decides which
    rows there are, `source` the to-one nodes too. `chain`: key columns of the root and of each to-many node on the
    way, this one last. `columns`: position in `outputs` by path; `anchor`, `own`: positions of key texts. `mirror`:
    columns below the root that equal its key, for which a planner does not see by itself that its range holds too.
    `raws`: the columns, as they are stored, behind the outputs; `holds`: the tables that they are of. `steps`: the
    order that was asked for of the root.
    """

    node: Node
    path: Path
    name: str
    base: sa.FromClause
    source: sa.FromClause
    where: tuple[sa.ColumnElement[bool], ...]
    root: sa.FromClause
    key: tuple[Column, ...]
    outputs: tuple[Element, ...]
    columns: dict[Path, int]
    kinds: dict[Path, Kind]
    anchor: tuple[int, ...]
    own: tuple[int, ...]
    chain: tuple[Element, ...]
    raws: tuple[Element, ...]
    holds: tuple[Place, ...]
    mirror: tuple[Element, ...] = ()
    steps: tuple[Step, ...] = ()
    children: tuple[Query, ...] = ()

    def every(self) -> Iterator[Query]:
        """This query and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.every()

    def rows(self, *bounds: sa.ColumnElement[bool], ordered: bool) -> sa.Select[Any]:
        """The SELECT; its columns are named c0, c1, ..."""
        named = [output.label(f"c{number}") for number, output in enumerate(self.outputs)]
        select = sa.select(*named).select_from(self.source).where(*self.where, *bounds)
        if not ordered:
            return select
        keys = self.chain[len(self.key) :] if self.steps else self.chain
        return select.order_by(*(step.clause() for step in self.steps), *keys)

    def counted(self, *bounds: sa.ColumnElement[bool]) -> sa.Select[Any]:
        """How many rows there are, whatever the ranges unless one is given."""
        return sa.select(sa.func.count()).select_from(self.base).where(*self.where, *bounds)


def place_of(node: Node) -> Place:
    return (node.schema, node.table)


def all_below(node: Node) -> Iterator[Node]:
    """The node and every one below it, parents first."""
    yield node
    for child in node.children:
        yield from all_below(child)


def touched(*nodes: Node) -> dict[Place, dict[str, None]]:
    """Every table that the selections read, with the columns they need there, in the order they are met."""
    found: dict[Place, dict[str, None]] = {}
    for node in nodes:
        _touch_node(node, found)
    return found


def _touch_node(node: Node, found: dict[Place, dict[str, None]]) -> None:
    here = place_of(node)
    own = [column.column for column in (*node.key, *node.columns, *(one.column for one in node.sort))]
    found.setdefault(here, {}).update(dict.fromkeys([*own, *(name for _, name in node.on)]))
    _touch_condition(node.where, here, found)
    for child in node.children:
        found[here].update(dict.fromkeys(name for name, _ in child.on))
        _touch_node(child, found)


def _touch_condition(condition: Condition, here: Place, found: dict[Place, dict[str, None]]) -> None:
    match condition:
        case Test(column=name):
            found.setdefault(here, {})[name] = None
        case All(of) | Either(of):
            for one in of:
                _touch_condition(one, here, found)
        case Not(of=inner):
            _touch_condition(inner, here, found)
        case Exists(hop, that):
            there = (hop.schema, hop.table)
            found.setdefault(here, {}).update(dict.fromkeys(name for name, _ in hop.on))
            found.setdefault(there, {}).update(dict.fromkeys(name for _, name in hop.on))
            _touch_condition(that, there, found)


def tree(node: Node, tongue: Tongue, style: Style, leaf: str | None = None) -> Query:
    """The queries of a selection. `leaf`: read the root's rows from this table, given in the database's own quoting."""
    return _Reading(node, tongue, style, leaf).query((node,), ())


def counts(node: Node, tongue: Tongue, part: Range) -> Iterator[tuple[str, sa.Select[Any]]]:
    """What is counted of a selection or of a range of keys, by include path; LINES where a table has more lines."""
    root = tree(node, tongue, "csv")
    yield from ((query.name, query.counted(*limits(query, tongue, part))) for query in root.every())
    if spread := _spread(node):
        lines = _Reading(node, tongue, "csv", None).lines(root, (node, *spread))
        yield LINES, lines.where(*limits(root, tongue, part))


def matching(node: Node, tongue: Tongue) -> sa.Select[Any]:
    """How many rows a selection has, whatever is shown of each."""
    return tree(replace(node, columns=(), children=(), sort=()), tongue, "csv").counted()


def _spread(node: Node) -> tuple[Node, ...]:
    """The way to the last node below whose rows are lines of the table."""
    for child in node.children:
        below = _spread(child) if child.nested in {"rows", "columns"} else ()
        if below or child.nested == "rows":
            return (child, *below)
    return ()


def joined(node: Node) -> list[Node]:
    """The nodes whose columns stand in one row: this one and the to-one nodes below."""
    return [node, *(below for child in node.one_children for below in joined(child))]


def has_many(node: Node) -> bool:
    """Whether there is a to-many node anywhere below."""
    return any(child.many or has_many(child) for child in node.children)


@dataclass(slots=True)
class _Output:
    """The columns of one SELECT as they are gathered."""

    elements: list[Element] = field(default_factory=list)
    raws: list[Element] = field(default_factory=list)
    columns: dict[Path, int] = field(default_factory=dict)
    kinds: dict[Path, Kind] = field(default_factory=dict)

    def add(self, path: Path, element: Element, kind: Kind | None = None, raw: Element | None = None) -> None:
        self.columns[path] = self._said(element, raw)
        if kind is not None:
            self.kinds[path] = kind

    def key(self, element: Element, raw: Element) -> int:
        """Where the key's text stands: an output that says the same serves for both."""
        for number, seen in enumerate(self.elements):
            if seen is element:
                return number
        return self._said(element, raw)

    def _said(self, element: Element, raw: Element | None) -> int:
        self.elements.append(element)
        self.raws += [] if raw is None else [raw]
        return len(self.elements) - 1


class _Reading:
    """Makes the queries of one tree; each has aliases of its own: t0 is the root, then t1, t2, ... on the way."""

    def __init__(self, root: Node, tongue: Tongue, style: Style, leaf: str | None) -> None:
        self._root, self._tongue, self._style, self._leaf = root, tongue, style, leaf
        self._columns = touched(root)

    def query(self, spine: tuple[Node, ...], path: Path) -> Query:
        """`spine` leads from the root to the node, to-one nodes on the way included; `path` from the last query."""
        numbers = count()
        tables = [self._table(node, next(numbers)) for node in spine]
        node, table, base = spine[-1], tables[-1], tables[0]
        for step, above, there in zip(spine[1:], tables, tables[1:], strict=False):
            base = base.join(there, self._joined(step, above, there))
        output = _Output()
        self._say_columns(output, node, table, ())
        source = self._say_ones(output, base, node, table, (), numbers)
        keyed = [
            (each, at) for each, at in zip(spine, tables, strict=True) if each is self._root or each.many
        ]
        below = tuple(self._below(node, ()))
        anchor = tuple(self._key_texts(output, keyed[:-1]))
        own = anchor + tuple(self._key_texts(output, keyed[-1:])) if below else ()
        return Query(
            node=node,
            path=path,
            name=".".join(each.name for each in spine[1:]),
            base=base,
            source=source,
            where=(self._condition(self._root, tables[0]),),
            root=tables[0],
            key=self._root.key,
            outputs=tuple(output.elements),
            columns=output.columns,
            kinds=output.kinds,
            anchor=anchor,
            own=own,
            chain=tuple(at.c[column.column] for each, at in keyed for column in each.key),
            raws=tuple(output.raws),
            holds=tuple(place_of(each) for each in (*spine[:-1], *joined(node))),
            mirror=self._mirror(spine, tables),
            steps=steps(self._root.sort, tables[0], self._tongue.placing),
            children=tuple(self.query(spine + steps, tuple(step.name for step in steps)) for steps in below),
        )

    def lines(self, root: Query, spine: tuple[Node, ...]) -> sa.Select[Any]:
        """How many lines there are when each node of the way stands beside the one above, or nothing does."""
        tables = [root.root, *(self._table(node, number) for number, node in enumerate(spine[1:], 1))]
        base = tables[0]
        for step, above, there in zip(spine[1:], tables, tables[1:], strict=False):
            base = base.outerjoin(there, self._joined(step, above, there))
        return sa.select(sa.func.count()).select_from(base).where(*root.where)

    def _mirror(self, spine: tuple[Node, ...], tables: list[sa.FromClause]) -> tuple[Element, ...]:
        if (
            self._tongue.name == "sqlite"
        ):  # a foreign key there may have another affinity, and so another order
            return ()
        same = dict(spine[1].on) if len(spine) > 1 else {}
        alike = all(column.column in same and column.type in SAME_ORDER for column in self._root.key)
        return tuple(tables[1].c[same[column.column]] for column in self._root.key) if same and alike else ()

    def _table(self, node: Node, number: int) -> sa.FromClause:
        names = self._columns[place_of(node)]
        columns: list[sa.ColumnClause[Any]] = [sa.column(quoted_name(name, quote=True)) for name in names]
        if number == 0 and self._leaf is not None:
            return sa.table(quoted_name(self._leaf, quote=False), *columns).alias("t0")
        schema = None if node.schema is None else quoted_name(node.schema, quote=True)
        return sa.table(quoted_name(node.table, quote=True), *columns, schema=schema).alias(f"t{number}")

    def _condition(self, node: Node, table: sa.FromClause) -> sa.ColumnElement[bool]:
        return expression(node.where, table, self._tongue.name)

    def _joined(self, node: Node, above: sa.FromClause, table: sa.FromClause) -> sa.ColumnElement[bool]:
        pairs = [above.c[here] == table.c[there] for here, there in node.on]
        return sa.and_(*pairs, self._condition(node, table))

    def _say_columns(self, output: _Output, node: Node, table: sa.FromClause, at: Path) -> None:
        in_line = node is self._root or node.nested != "json" or self._style == "typed"
        style: Style = self._style if in_line else "json"
        for column in node.columns:
            element, kind = self._tongue.text(table.c[column.column], column, style)
            output.add((*at, column.key), element, kind, table.c[column.column])

    def _say_ones(
        self,
        output: _Output,
        source: sa.FromClause,
        node: Node,
        table: sa.FromClause,
        at: Path,
        numbers: count[int],
    ) -> sa.FromClause:
        """Joins the to-one nodes below: a row that the node's own condition excludes is not there."""
        for child in node.one_children:
            there, path = self._table(child, next(numbers)), (*at, child.name)
            source = source.outerjoin(there, self._joined(child, table, there))
            matched = there.c[child.on[0][1]].is_not(None)
            output.add(path, sa.case((matched, say("'1'"))))
            self._say_columns(output, child, there, path)
            source = self._say_ones(output, source, child, there, path, numbers)
        return source

    def _key_texts(self, output: _Output, keyed: list[tuple[Node, sa.FromClause]]) -> Iterator[int]:
        for node, table in keyed:
            for column in node.key:
                raw = table.c[column.column]
                yield output.key(self._tongue.text(raw, column, "csv")[0], raw)

    def _below(self, node: Node, at: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
        """The way to each to-many node that is reached through to-one nodes only."""
        for child in node.children:
            if child.many:
                yield (*at, child)
            else:
                yield from self._below(child, (*at, child))


def edges(part: Range) -> tuple[Edge, ...]:
    """Where a range of keys begins and ends: low inclusive, high exclusive."""
    both = ((">=", part.low), ("<", part.high))
    return tuple((compare, key) for compare, key in both if key is not None)


def limits(query: Query, tongue: Tongue, part: Range) -> Iterator[sa.ColumnElement[bool]]:
    """A range of keys, or of places in the order, as conditions."""
    return between(query.steps, part) if part.by == "sort" else bounds(query, tongue, edges(part))


def bounds(query: Query, tongue: Tongue, within: Iterable[Edge]) -> Iterator[sa.ColumnElement[bool]]:
    """The edges as conditions on the root's key, or on its first columns, compared as a row."""
    for compare, key in within:
        texts = [text for text in key if text is not None]  # no key is
        values = [tongue.bound(text, column) for text, column in zip(texts, query.key, strict=False)]
        right: Any = values[0] if len(key) == 1 else sa.tuple_(*values)
        for columns in filter(None, ([query.root.c[column.column] for column in query.key], query.mirror)):
            left: Any = columns[0] if len(key) == 1 else sa.tuple_(*columns[: len(key)])
            yield left.op(compare, is_comparison=True)(right)


def chained(by: Literal["key", "sort", "ctid"], cuts: Sequence[Cut], leaf: str | None) -> list[Range]:
    """The ranges between the cuts, open at both ends."""
    ends: list[Cut | None] = [None, *cuts, None]
    return [Range(by, low, high, leaf) for low, high in pairwise(ends)]
