"""A CSV for spreadsheets, opened by LibreOffice: numbers are numbers, texts are texts, and nothing runs."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import psycopg
import pytest

from tests.system import _outhaul

OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
UTF8 = 76  # as LibreOffice numbers encodings
WIDTH = 8  # columns at least that a line is read with

STORED = [
    (1, -12.50, "=1+1", "007", 1234567890123456789, "2026-01-02 03:04:05+00", "2026-01-02", True),
    (2, 0.07, "-5", "12E3", -7, "1999-12-31 23:30:00+00", "1999-12-31", False),
    (3, 123456789012.25, "@SUM(A1)", "4915112345678901", 999999999999999, None, None, None),
    (4, 5, 'He said: "a;b,c|d\te"', "0", 0, "2026-07-01 12:00:00+02", "2026-07-01", True),
    (5, None, "two\nlines", "1.50", 1000000000000000, "2026-07-01 12:00:00+00", None, False),
    (6, -1, "+49 30 12", "'quoted", -1234567890123456, None, "0044-03-15 BC", None),
    (7, 3, "Ünï ＝1+1 €", "", 1, None, None, None),
    (8, 4, "＝1+1", None, 1, None, None, None),
]


@pytest.fixture(scope="module")
def database(postgres_module_url: str) -> str:
    with psycopg.connect(postgres_module_url) as connection:
        connection.execute(
            "CREATE TABLE sheet (id integer PRIMARY KEY, amount numeric(14,2), word text, code text, long bigint,"
            " at timestamptz, day date, ok boolean)"
        )
        connection.cursor().executemany("INSERT INTO sheet VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", STORED)
        connection.execute(
            "CREATE TABLE notes (sheet_id integer REFERENCES sheet, n integer PRIMARY KEY, note text)"
        )
        connection.execute("INSERT INTO notes VALUES (1, 1, '=A1'), (1, 2, '01'), (3, 3, 'x')")
    return postgres_module_url


@dataclass(frozen=True, slots=True)
class Cell:
    """`kind`: what LibreOffice takes it for; `text`: what it shows; `value`: what it holds beside a text."""

    kind: str
    text: str
    value: str
    formula: str | None


EMPTY = Cell("", "", "", None)


def opened(file: Path, delimiter: str, tmp_path: Path) -> list[list[Cell]]:
    """The lines of a CSV as LibreOffice has them once it has opened the file."""
    done = subprocess.run(
        [
            "soffice",
            f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}",
            "--headless",
            f"--infilter=CSV:{ord(delimiter)},34,{UTF8},1",
            *("--convert-to", "fods", "--outdir", str(tmp_path), str(file)),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    made = tmp_path / f"{file.stem}.fods"
    assert made.exists(), done.stdout + done.stderr
    lines = []
    for row in ET.parse(made).iter(f"{TABLE}table-row"):
        line: list[Cell] = []
        for cell in row.iter(f"{TABLE}table-cell"):
            again = int(cell.get(f"{TABLE}number-columns-repeated", "1"))
            line += [_cell(cell)] * min(again, 100)
        lines.append([*line, *[EMPTY] * (WIDTH - len(line))])
    return lines


def _cell(cell: ET.Element) -> Cell:
    text = "\n".join(_said(one) for one in cell.iter(f"{TEXT}p"))
    value = next(
        (
            cell.get(f"{OFFICE}{name}", "")
            for name in ("value", "date-value", "boolean-value")
            if cell.get(f"{OFFICE}{name}")
        ),
        "",
    )
    return Cell(cell.get(f"{OFFICE}value-type", ""), text, value, cell.get(f"{TABLE}formula"))


def _said(paragraph: ET.Element) -> str:
    """The text of a paragraph; tabs and runs of spaces are elements of their own."""
    text = paragraph.text or ""
    for inner in paragraph.iter():
        if inner is not paragraph:
            text += {f"{TEXT}tab": "\t", f"{TEXT}s": " "}.get(inner.tag, inner.text or "") + (
                inner.tail or ""
            )
    return text


def number(cell: Cell) -> float:
    assert cell.kind == "float", cell
    return float(cell.value)


def words(cell: Cell) -> str:
    """The stored text: one guard, where there is one, is taken away."""
    assert cell.kind in {"string", ""}, cell
    return cell.text.removeprefix("'")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "delimiter"), [("comma", ","), ("semicolon", ";"), ("tab", "\t"), ("pipe", "|")]
)
def test_what_is_stored_is_what_a_spreadsheet_has(
    name: str, delimiter: str, database: str, tmp_path: Path
) -> None:
    run = _outhaul.export(
        database, "sheet", tmp_path, format="csv", profile="spreadsheet", delimiter=name
    ).complete()
    header, *lines = opened(run.file, delimiter, tmp_path)
    titles = ["id", "amount", "word", "code", "long", "at (UTC)", "day", "ok"]
    assert [cell.text for cell in header[:8]] == titles
    assert not [cell for line in lines for cell in line if cell.formula]
    assert len(lines) >= len(STORED)
    for line, (key, amount, word, code, long, at, day, ok) in zip(lines, STORED, strict=False):
        assert number(line[0]) == key
        assert line[1].kind == "" if amount is None else number(line[1]) == float(amount)
        assert words(line[2]) == word
        if code == "0":
            assert number(line[3]) == 0
        else:
            assert words(line[3]) == (code or "")
        if len(str(abs(long))) > 15:
            assert words(line[4]) == str(long)
        else:
            assert number(line[4]) == long
        if at is None:
            assert line[5].kind == ""
        else:
            utc = {"2026-07-01 12:00:00+02": "2026-07-01T10:00:00"}.get(
                at, at.removesuffix("+00").replace(" ", "T")
            )
            assert (line[5].kind, line[5].value) == ("date", utc)
        if day is None or day.endswith("BC"):
            assert line[6].text == (day or "")
        else:
            assert (line[6].kind, line[6].value) == ("date", day)
        assert line[7].value == ("" if ok is None else str(ok).lower())


@pytest.mark.heavy
def test_lines_of_related_rows_are_opened_too(database: str, tmp_path: Path) -> None:
    run = _outhaul.export(
        database,
        "sheet",
        tmp_path,
        fields="id,notes.n,notes.note",
        nested=["notes=rows"],
        format="csv",
        profile="spreadsheet",
        delimiter=";",
    ).complete()
    header, *lines = opened(run.file, ";", tmp_path)
    assert [cell.text for cell in header[:3]] == ["id", "notes.n", "notes.note"]
    found = [(number(line[0]), *(cell.text for cell in line[1:3])) for line in lines[:4]]
    assert found == [(1, "1", "'=A1"), (1, "2", "'01"), (2,) + ("",) * (len(found[2]) - 1), (3, "3", "x")]
