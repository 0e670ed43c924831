"""The bench: whatever is missing or wrong is said, and never timed; whatever becomes of one, the others go on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench.contenders import CONTENDERS, HOW, Contender, psql, together
from bench.measure import Cost
from bench.report import Entry
from bench.works import WORKS

ROW = re.compile(r"^\| (\S.*?) \| \d \| ([\d.]+) \| [\d.]+ to [\d.]+ \| (\d) \|", re.MULTILINE)
UNTIMED = re.compile(r"^\| (\S.*?) \| \d \| ([a-z].*?) \| \|", re.MULTILINE)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(tmp_path, monkeypatch)


class Run:
    """One bench at the smallest scale, with contenders of choice; keeps the page that it has written."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.monkeypatch = monkeypatch

    def __call__(self, *contenders: Contender, small: int = 0, rounds: int = 1) -> tuple[int, str]:
        self.monkeypatch.setattr(bench, "CONTENDERS", contenders)
        results = self.folder / "RESULTS.md"
        where = ["--results", str(results), "--folder", str(self.folder / "work")]
        status = bench.main(
            ["--scale", "0.001", "--rounds", str(rounds), "--small", str(small), "--slow", "3", *where]
        )
        return status, results.read_text()


def copied(select: str = "TABLE lineitem") -> str:
    return psql(select, "x.csv", HOW["csv"])


def flat(name: str, line: str, *needs: str, work: str = "flat-csv") -> Contender:
    return Contender(WORKS[work], name, 1, line, f"*.{WORKS[work].suffix}", needs)


@pytest.mark.heavy  # each bench checks the same before a time counts
@pytest.mark.timeout(900)
def test_every_contender_that_is_here_makes_the_right_rows(run: Run) -> None:
    status, page = run(*CONTENDERS, small=3)
    assert status == 0, page
    timed, untimed = ROW.findall(page), UNTIMED.findall(page)
    assert len(timed) + len(untimed) == len(CONTENDERS)
    assert {said.rpartition(" is ")[2] for _, said in untimed} <= {"not installed here"}
    ours = [contender for contender in CONTENDERS if contender.name.startswith("Outhaul")]
    assert len([name for name, *_ in timed if name.startswith("Outhaul")]) == len(ours)
    assert re.search(r"100 orders .* median \d+ ms", page)
    assert all(contender.line in page for contender in CONTENDERS)
    assert not re.search(r"/(root|home|tmp|work|usr)/", page)


LOST = "SELECT * FROM lineitem OFFSET 1"
WRONG = {
    "Lost": copied(LOST),
    "Lost and doubled": copied(f"({LOST}) UNION ALL ({LOST} LIMIT 1)"),
    "Broken": copied("SELECT * FROM nothing"),
    "Broken before a pipe": "psql $URL -qc 'SELECT * FROM nothing' | cat > $OUT/x.csv",
    "Nothing": "true",
    "Unreadable": "echo this is no table > $OUT/x.csv",
}
ABSENT = (
    flat("Absent", "no-such-program", "no-such-program"),
    flat("No peer", "true", "psql", "peers:no_such_module"),
    flat("No format", "true", "format:no_such_format"),
)
NOT_HERE = [
    ("Absent", "no-such-program is not installed here"),
    ("No peer", "no_such_module is not installed here"),
    ("No format", "there is no format no_such_format"),
]
ORDERS = [("true", "false"), ("false", "true"), ("false", "false"), ("true", "true", "false", "true")]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    """A bench of one right contender, and of all that are wrong or not here."""
    several = [flat(" ".join(order), together(*order)) for order in ORDERS]
    wrong = [flat(name, line) for name, line in WRONG.items()]
    with pytest.MonkeyPatch.context() as patch:
        run = Run(tmp_path_factory.mktemp("bench"), patch)
        return run(*wrong, *ABSENT, *several, flat("Right", copied()))


def test_wrong_output_is_no_time_and_ends_the_bench_with_1(tried: tuple[int, str]) -> None:
    status, page = tried
    assert status == 1
    assert [name for name, *_ in ROW.findall(page)] == ["Right"]
    said = dict(UNTIMED.findall(page))
    assert all(re.match(r"failed: (ended with \d|has written )", said[name]) for name in WRONG), said


def test_what_is_not_here_is_a_named_row(tried: tuple[int, str]) -> None:
    assert [row for row in UNTIMED.findall(tried[1]) if row in NOT_HERE] == NOT_HERE


@pytest.mark.heavy
def test_what_is_not_here_is_no_fault(run: Run) -> None:
    status, page = run(*ABSENT)
    assert status == 0
    assert UNTIMED.findall(page) == NOT_HERE


def test_a_line_of_several_commands_fails_when_one_of_them_fails(tried: tuple[int, str]) -> None:
    said = dict(UNTIMED.findall(tried[1]))
    assert all(said[" ".join(order)].startswith("failed: ended with 1") for order in ORDERS), said


@pytest.mark.timeout(240)
@pytest.mark.heavy
def test_one_that_fails_in_its_own_way_does_not_lose_the_others(run: Run) -> None:
    work = WORKS["flat-csv"]
    status, page = run(
        Contender(work, "Plane that ends", 1, "python -c 'raise SystemExit(3)'", "*.csv", (), "plane"),
        Contender(work, "Service that refuses", 1, '{"data": {}}', "*.csv", (), "service"),
        Contender(work, "Plane", 2, "python -m bench.plane flat-csv --workers 2", "*.csv", (), "plane"),
        flat("Command", copied()),
    )
    assert status == 1
    assert [name for name, *_ in ROW.findall(page)] == ["Plane", "Command"]
    said = dict(UNTIMED.findall(page))
    assert said["Plane that ends"].startswith("failed: ended early")
    assert said["Service that refuses"].startswith("failed: was answered with 4")


def test_a_peer_that_is_far_too_slow_runs_once_and_ours_in_every_round() -> None:
    def timed(name: str, wall: float, work: str = "flat-csv") -> Entry:
        return Entry(flat(name, "true", work=work), costs=[Cost(wall, 0, 0, 0)])

    ours, slowly = timed("Outhaul", 2), timed("Outhaul, slowly", 100)
    peer, late, other = timed("Peer", 8), timed("Peer, slowly", 8.1), timed("Peer", 100, "parquet")
    untried = Entry(flat("Peer, untried", "true"))
    entries = [ours, slowly, peer, late, other, untried]
    assert [one for one in entries if bench._too_slow(one, entries, 4)] == [late]


def test_a_row_that_does_not_exist_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.main(["--rows", "flat-csv,flat-cvs"])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "'flat-cvs'" in said
    assert all(name in said for name in WORKS)
