"""The bench: whatever is missing or wrong is said, and never timed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench.contenders import CONTENDERS, CSV, Contender, copied, together


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


class Run:
    """One bench at the smallest scale, with contenders of choice; keeps the page that it has written."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch

    def __call__(self, *contenders: Contender, small: int = 0) -> tuple[int, str]:
        self.monkeypatch.setattr(bench, "CONTENDERS", contenders)
        results = self.folder / "RESULTS.md"
        where = ["--results", str(results), "--folder", str(self.folder / "work")]
        status = bench.main(["--scale", "0.001", "--rounds", "1", "--small", str(small), *where])
        return status, results.read_text()


def flat(name: str, command: str, needs: str = "psql") -> Contender:
    return Contender("flat", name, 1, needs, command, "*.csv")


@pytest.mark.heavy  # each bench checks the same before a time counts
@pytest.mark.timeout(400)
def test_every_contender_makes_the_right_rows(run: Run) -> None:
    status, page = run(*CONTENDERS, small=3)
    assert status == 0, page
    rows = re.findall(r"^\| (\S.*?) \| \d \| ([\d.]+) \| [\d.]+ to [\d.]+ \|", page, re.MULTILINE)
    assert [name for name, _ in rows] == [contender.name for contender in CONTENDERS]
    assert all(float(wall) > 0 for _, wall in rows)
    assert re.search(r"100 orders .* median \d+ ms", page)
    assert all(contender.command in page for contender in CONTENDERS)
    assert not re.search(r"/(root|home|tmp|work|usr)/", page)


def test_wrong_output_is_no_time_and_ends_the_bench_with_1(run: Run) -> None:
    lost = "SELECT * FROM lineitem OFFSET 1"
    as_many_as_there_are = f"({lost}) UNION ALL ({lost} LIMIT 1)"
    selects = {
        "Lost": lost,
        "Lost and doubled": as_many_as_there_are,
        "Broken": "SELECT * FROM nothing",
        "Right": "TABLE lineitem",
    }
    status, page = run(*(flat(name, copied(select, "x.csv", CSV)) for name, select in selects.items()))
    assert status == 1
    said = dict(re.findall(r"^\| (\w.*?) \| 1 \| (failed: [a-z ]+|[\d.]+)", page, re.MULTILINE))
    assert said.pop("Broken") == "failed: ended with "
    assert float(said.pop("Right")) > 0
    assert said == {"Lost": "failed: has written ", "Lost and doubled": "failed: has written "}


def test_a_program_that_is_not_here_is_a_named_row(run: Run) -> None:
    status, page = run(flat("Absent", "no-such-program", needs="no-such-program"))
    assert status == 0
    assert "| Absent | 1 | no-such-program is not installed here |" in page


def test_a_line_of_two_commands_fails_when_one_of_them_fails(run: Run) -> None:
    orders = [("true", "false"), ("false", "true"), ("false", "false")]
    status, page = run(*(flat(" ".join(order), together(*order)) for order in orders))
    assert status == 1
    assert page.count("failed: ended with 1") == len(orders)
