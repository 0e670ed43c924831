"""Rows of any shape as streams of blocks, and the same rows written slowly and obviously: the two must agree."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pyarrow as pa

from outhaul.blocks import Block, Kind, Path, Stream
from outhaul.catalog import Type
from outhaul.filters import EVERYTHING
from outhaul.plan import Column, Node, Plan

Row = dict[str, Any]  # column -> text or None; to-one child -> row or None; to-many child -> rows


@dataclass(frozen=True)
class Shape:
    """A resource: its columns with their kinds, its to-one and to-many children."""

    columns: dict[str, Kind]
    ones: dict[str, Shape] = field(default_factory=dict)
    manys: dict[str, Shape] = field(default_factory=dict)
    nested: str = "json"  # how it stands in the table of the one above

    def node(self, name: str = "", *, many: bool = False) -> Node:
        columns = tuple(Column(key, key, Type.TEXT, "text", True) for key in self.columns)
        children = [child.node(key) for key, child in self.ones.items()]
        children += [child.node(key, many=True) for key, child in self.manys.items()]
        return Node(
            *(name, name, None, name, "table", many, (), columns, (), EVERYTHING, tuple(children)),
            nested=self.nested,
        )


def plan(*shapes: Shape, **settings: Any) -> Plan:
    nodes = tuple(shape.node() for shape in shapes)
    defaults = {"compress": None, "part_bytes": 1 << 20, "fragment_bytes": None, "fragment_rows": None}
    return Plan(
        **{
            "source": "sqlite",
            "selections": nodes,
            "formats": ("json",),
            "tenant": None,
            "catalog": "f" * 64,
            **defaults,
            **settings,
        }
    )


def stream(shape: Shape, rows: Sequence[Row], random: Random | None = None) -> Stream:
    """The rows as one stream; with `random` its blocks and those of its children are cut anywhere."""
    return _stream(shape, "", (), [(b"", row) for row in rows], random)


def _stream(
    shape: Shape, name: str, path: Path, rows: list[tuple[bytes, Row]], random: Random | None
) -> Stream:
    keyed = [(anchor, b"%d" % number, row) for number, (anchor, row) in enumerate(rows)]
    children = []
    for child_path, child in _lists(shape, ()):
        below = [(own, inner) for _, own, row in keyed for inner in _rows_at(row, child_path)]
        children.append(_stream(child, child_path[-1], child_path, below, random))
    blocks = _blocks(shape, keyed, bool(children), bool(path), random)
    return Stream(shape.node(name, many=bool(path)), path, blocks, dict(_kinds(shape, ())), tuple(children))


def _blocks(
    shape: Shape, keyed: list[tuple[bytes, bytes, Row]], own: bool, anchor: bool, random: Random | None
) -> Iterator[Block]:
    at = 0
    while at < len(keyed):
        left = len(keyed) - at
        count = random.randint(1, left) if random else left
        some = keyed[at : at + count]
        yield Block(
            count,
            {path: _array(values) for path, values in _columns(shape, (), [row for _, _, row in some])},
            _array([key for key, _, _ in some]) if anchor else None,
            _array([key for _, key, _ in some]) if own else None,
        )
        at += count


def _array(values: Iterable[str | bytes | None]) -> pa.Array:
    return pa.array([one.encode() if isinstance(one, str) else one for one in values], pa.binary())


def _columns(shape: Shape, at: Path, rows: Sequence[Row | None]) -> Iterator[tuple[Path, list[Any]]]:
    for key in shape.columns:
        yield (*at, key), [row[key] if row else None for row in rows]
    for key, child in shape.ones.items():
        inner = [row[key] if row else None for row in rows]
        yield (*at, key), [None if row is None else "1" for row in inner]
        yield from _columns(child, (*at, key), inner)


def _kinds(shape: Shape, at: Path) -> Iterator[tuple[Path, Kind]]:
    yield from (((*at, key), kind) for key, kind in shape.columns.items())
    for key, child in shape.ones.items():
        yield from _kinds(child, (*at, key))


def _lists(shape: Shape, at: Path) -> Iterator[tuple[Path, Shape]]:
    for key, child in shape.ones.items():
        yield from _lists(child, (*at, key))
    for key, child in shape.manys.items():
        yield (*at, key), child


def _rows_at(row: Row | None, path: Path) -> list[Row]:
    for step in path[:-1]:
        row = row[step] if row else None
    return row[path[-1]] if row else []


def written(shape: Shape, row: Row | None) -> str:
    """The JSON text of one row."""
    if row is None:
        return "null"
    members = [
        f"{json.dumps(key, ensure_ascii=False)}:{_value(row[key], kind)}"
        for key, kind in shape.columns.items()
    ]
    for key, child in shape.ones.items():
        members.append(f"{json.dumps(key, ensure_ascii=False)}:{written(child, row[key])}")
    for key, child in shape.manys.items():
        inside = ",".join(written(child, inner) for inner in row[key])
        members.append(f"{json.dumps(key, ensure_ascii=False)}:[{inside}]")
    return "{" + ",".join(members) + "}"


def _value(text: str | None, kind: Kind) -> str:
    if text is None:
        return "null"
    if kind == "raw":
        return (
            f'"{text}"'
            if text in {"NaN", "Infinity", "-Infinity"}
            else text.replace("\n", " ").replace("\r", " ")
        )
    return json.dumps(text, ensure_ascii=False)


def csv_line(shape: Shape, row: Row) -> str:
    """One row as COPY would write it, related rows as JSON cells."""
    cells = [row[key] for key in shape.columns]
    cells += [written(child, row[key]) if row[key] is not None else None for key, child in shape.ones.items()]
    cells += [
        "[" + ",".join(written(child, one) for one in row[key]) + "]" for key, child in shape.manys.items()
    ]
    return ",".join(csv_cell(cell, alone=len(cells) == 1) for cell in cells) + "\n"


def csv_cell(text: str | None, *, alone: bool) -> str:
    if text is None:
        return ""
    if text == "" or any(mark in text for mark in ',"\n\r') or (alone and text == "\\."):
        return '"' + text.replace('"', '""') + '"'
    return text


def counts(shape: Shape, rows: Iterable[Row | None], at: str = "") -> dict[str, int]:
    """How many rows there are at each to-many path."""
    total: dict[str, int] = {}
    for path, child in _lists(shape, ()):
        name = f"{at}{'.'.join(path)}"
        below = [inner for row in rows for inner in _rows_at(row, path)]
        total[name] = len(below)
        total |= counts(child, below, f"{name}.")
    return total
