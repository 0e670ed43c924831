"""A look at what an export would write, its first rows and a sample of all: by a process that may be ended."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from io import BytesIO
from types import ModuleType
from typing import Any

import pyarrow as pa

from outhaul import downloads, formats, pipeline, plan, siblings, sources
from outhaul.blocks import Range
from outhaul.errors import OuthaulError
from outhaul.export import Fragment, Part
from outhaul.formats import Sheet
from outhaul.plan import BINARY, Node, Plan
from outhaul.spread import Spread

ROWS = 20  # that are shown
TEXT = 30_000  # bytes of a file that are shown
FILE = 8 << 20  # bytes of a file that is shown by reading it
COLUMNS = 30  # of a file that is read
CELL = 200  # characters of a value of it
FILES = 4  # that are shown of one export
LIFE = 20  # seconds until it ends by itself, if nobody is left to end it
LOCKS = 1.0  # seconds to wait for a table that somebody else has locked

Connect = Callable[[], Any]
Answer = Mapping[str, Any]


class Enough(Exception):
    """More than was asked for has come."""


class Kept:
    """A store that keeps how the first objects begin, and has no room for more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.kept: dict[str, bytes] = {}
        self.lengths: dict[str, int] = {}

    def put(self, key: str, chunks: Iterable[bytes]) -> int:
        if len(self.kept) == self._most:
            raise Enough
        begins, length = bytearray(), 0
        for chunk in chunks:
            begins += chunk[: FILE - len(begins)]
            length += len(chunk)
        self.kept[key], self.lengths[key] = bytes(begins), length
        return length


class Weighed:
    """A store that counts bytes, and forgets them."""

    def put(self, _key: str, chunks: Iterable[bytes]) -> int:
        return sum(len(chunk) for chunk in chunks)


def look(source: ModuleType, connect: Connect, asked: Answer) -> Iterator[Answer]:
    """What is found out, one by one, what is quick first. `asked`: the plan as data, the rows that match in each of its
    selections or None, and the seconds that samples may take together."""
    about = plan.from_data(asked["plan"])
    written = [(n, form) for n, form in about.written if form != BINARY]
    for n, form in written:
        with _session(connect) as session:
            yield from ({"shown": one} for one in first(session, about, n, form)[:FILES])
    for n, form in written:
        with _session(connect) as session:
            made = sample(session, about, n, form, asked["matched"][n], asked["seconds"] / len(written))
        yield {"sample": made | {"shared": source.SHARED}}


def first(session: Any, about: Plan, selection: int, form: str) -> list[dict[str, Any]]:
    """The files of a selection in a format as they would be if there were only its first rows."""
    root, module = about.selections[selection], siblings.load(formats, form)
    sheets = formats.sheets(root, form)
    kept, found = Kept(len(sheets)), []
    bare = _bare(about, compress=about.compress if module.CODECS else None, fragment_rows=ROWS)
    extent = session.head(root, ROWS) if root.key else Range()
    with suppress(Enough):
        found = list(_run(session, bare, _part(selection, form, extent), kept))
    keys = {one.path: one.key for one in found} or dict(zip([""], kept.kept, strict=False))
    return [_shown(module, sheet, kept, keys.get(sheet.path)) for sheet in sheets]


def sample(
    session: Any, about: Plan, selection: int, form: str, matched: int | None, seconds: float
) -> dict[str, Any]:
    """How large and how fast rows from everywhere in the selection are; of all, where they are few."""
    root, module = replace(about.selections[selection], sort=()), siblings.load(formats, form)
    roots = [root if n == selection else one for n, one in enumerate(about.selections)]
    bare = replace(_bare(about), selections=tuple(roots))
    small = _small(session, bare, selection, form) if module.JOINT is None else None
    spread = Spread(session, root, matched, seconds)
    found = _run(spread, bare, _part(selection, form, Range()), Weighed())
    sheets = formats.sheets(root, form)
    return {
        "selection": selection,
        "format": form,
        "rows": sum(one.rows for one in found if not one.path),
        "length": sum(one.length for one in found),
        "frame": sum(_frame(module, sheet.node, about.compress) for sheet in sheets),
        "small": small,
        "all": spread.all_rows() if matched is None else matched,
        "text": spread.size,
        "seconds": spread.took,
    }


def _small(session: Any, bare: Plan, selection: int, form: str) -> dict[str, int] | None:
    """Rows and length of a small file, for what a file of this kind takes whatever it holds."""
    root = bare.selections[selection]
    if not root.key:
        return None
    found = _run(session, bare, _part(selection, form, session.head(root, ROWS)), Weighed())
    return next(({"rows": one.rows, "length": one.length} for one in found), None)


def _run(session: Any, about: Plan, part: Part, store: Any) -> tuple[Fragment, ...]:
    return pipeline.run(session, about, part, store, lambda: None, lambda _rows: None)


def _part(selection: int, form: str, extent: Range) -> Part:
    return Part("look", 1, selection, form, extent.to_data(), 1, 1)


def _bare(about: Plan, **changed: Any) -> Plan:
    """Without limits of files, which rows of a sample need not keep."""
    return replace(about, **{"fragment_bytes": None, "fragment_rows": None, "archive": None} | changed)


def _frame(module: ModuleType, node: Node, compress: str | None) -> int:
    """Bytes of a file without rows."""
    around = formats.around(module, compress)
    texts = [text for text in (module.opening(node), module.closing(node)) if text]
    stretches = downloads.WRAPS[around].frames(texts) if around else texts
    return sum(len(one) for one in stretches if isinstance(one, bytes))


def _shown(module: ModuleType, sheet: Sheet, kept: Kept, key: str | None) -> dict[str, Any]:
    data, length = (kept.kept[key], kept.lengths[key]) if key else (b"", 0)
    named = {"name": f"{sheet.name}.{module.SUFFIX}"}
    if module.JOINT is None:
        whole = data if key else module.opening(sheet.node)
        return named | (_table(whole) if length <= len(whole) else {"text": "", "cut": True})
    text = module.opening(sheet.node) + data
    cut = length > len(data) or len(text) > TEXT
    if not cut:
        text += module.closing(sheet.node)
    return named | {"text": text[:TEXT].decode(errors="ignore"), "cut": cut}


def _table(data: bytes) -> dict[str, Any]:
    """What stands in a file that only programs read."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(BytesIO(data), pre_buffer=False) as file:
        found = file.read(use_threads=False).slice(0, ROWS)
    names = found.schema.names[:COLUMNS]
    rows = [[_cell(row[name]) for name in names] for row in found.select(names).to_pylist()]
    kinds = [str(found.schema.field(name).type).partition("<")[0] for name in names]
    return {"columns": list(zip(names, kinds, strict=True)), "rows": rows, "cut": len(found.schema) > COLUMNS}


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = text.strip('"') if not isinstance(value, str) and text.startswith('"') else text
    return text if len(text) <= CELL else f"{text[:CELL]}…"


@contextmanager
def _session(connect: Connect) -> Iterator[Any]:
    """A session under an instant of its own; whatever it still does is ended with it."""
    session = connect()
    try:
        session.begin(None)
        yield session
    finally:
        session.cancel()
        session.close()


def main() -> None:
    """One JSON line of what is asked on standard input; a JSON line on standard output for each thing found out."""
    os.umask(0o077)
    pa.enable_signal_handlers(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.alarm(LIFE)
    asked = json.loads(sys.stdin.readline())
    source = siblings.load(sources, asked["plan"]["source"])
    connect = partial(
        source.connect, asked["url"], "look", statement_seconds=asked["limit"], lock_seconds=LOCKS
    )
    try:
        for answer in look(source, connect, asked):
            _say(answer)
    except OuthaulError as error:
        _say({"error": error.as_data()})
    sys.stdout.flush()
    os._exit(0)  # a statement that still runs is waited for by nobody


def _say(answer: Answer) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
