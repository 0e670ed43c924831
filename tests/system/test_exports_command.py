"""`outhaul exports` as it is typed: against a running service that is killed meanwhile, one that is away, and liars."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import replies
from tests.replies import EXPORT, Asked, Finished, Reply, resource, said
from tests.system import _outhaul
from tests.system._outhaul import PROGRAM, Asker, Service, until
from tests.system._proxy import Proxy, proxy
from tests.system._shop import Shop
from tests.terminal import environment, here, on_screen

SHOP = Shop(orders=3000, lines=1, note=500)
RATE = 1_500_000  # bytes a second: an export of all orders takes a second
HTML = Reply(200, b"<html>It works!</html>")


@pytest.fixture(scope="module")
def between() -> Iterator[Proxy]:
    """The line to the service, which a test can make slow."""
    with proxy("127.0.0.1", 0) as line:
        yield line


@pytest.fixture(scope="module")
def service(filled: Callable[[str, Shop], str], room: Path, between: Proxy) -> Iterator[Service]:
    address = f"http://127.0.0.1:{between.port}"
    with _outhaul.serving(filled("sqlite", SHOP), room / "service", public_url=address) as running:
        between.target = ("127.0.0.1", running.port)
        yield running


@pytest.fixture(scope="module")
def asker(service: Service) -> Asker:
    return service.asker()


@pytest.fixture(scope="module")
def export_id(asker: Asker) -> str:
    found = asker.create("orders", "csv", compress=None)
    asker.finish(found)
    return found


@pytest.fixture(scope="module")
def name(export_id: str) -> str:
    return f"orders.csv.{export_id}.partial"


@pytest.fixture(scope="module")
def file(asker: Asker, service: Service, export_id: str, between: Proxy) -> bytes:
    direct = asker.link(export_id).replace(f":{between.port}/", f":{service.port}/")
    return service.fetch(direct).content


@pytest.fixture
def known(asker: Asker, between: Proxy) -> Iterator[dict[str, str]]:
    """What leads the command to the service, through a line as slow as the rate."""
    between.rate = RATE
    yield {"OUTHAUL_SERVER": f"http://127.0.0.1:{between.port}", "OUTHAUL_TOKEN": asker.token}
    between.rate, between.stalled, between.when = None, False, None


def stall(between: Proxy, length: int) -> None:
    """Let nothing through any more when so many bytes have come."""
    between.after(length, lambda: setattr(between, "stalled", True))


def begun(at: Path, *args: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, "exports", *args],
        cwd=at,
        env=environment(**env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def names(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir()) if folder.exists() else []


def test_an_export_is_asked_for_followed_downloaded_and_removed(
    known: dict[str, str], tmp_path: Path, between: Proxy
) -> None:
    between.rate = None
    asked = ("orders", "--include", "customer", "--filter", "id_lteq=40", "--format", "ndjson")
    made = here(tmp_path, "exports", "create", *asked, "--reference", "mine", **known)
    assert made.returncode == 0, made.stderr
    export_id = made.stdout.strip()
    listed = here(tmp_path, "exports", "list", "--filter", "reference_eq=mine", **known).stdout.splitlines()
    assert len(listed) == 2
    assert listed[1].split()[:3] == [export_id, "orders", "ndjson"]
    followed = here(tmp_path, "exports", "follow", export_id, "--json", **known)
    assert followed.returncode == 0, followed.stderr
    last = json.loads(followed.stdout.splitlines()[-1])
    assert (last["id"], last["status"], last["records_count"]) == (export_id, "completed", 40)
    shown = here(tmp_path, "exports", "show", export_id, **known).stdout
    facts = dict(line.split(":", 1) for line in shown.splitlines())
    assert (facts["status"].strip(), facts["rows"].strip(), facts["includes"].strip()) == (
        "completed",
        "40",
        "customer",
    )
    got = here(tmp_path, "exports", "download", export_id, "--output", "out", **known)
    assert (got.returncode, got.stdout) == (0, "out/orders.ndjson.gz\n"), got.stderr
    assert "complete and proven" in got.stderr
    assert here(tmp_path, "verify", "out", "--deep").returncode == 0
    removed = here(tmp_path, "exports", "delete", export_id, "--json", **known)
    assert json.loads(removed.stdout) == {"id": export_id, "deleted": True}
    assert here(tmp_path, "exports", "show", export_id, **known).returncode == 2


def test_a_download_waits_for_the_end_of_its_export(
    known: dict[str, str], tmp_path: Path, between: Proxy
) -> None:
    between.rate = None
    (tmp_path / "token").write_text(known.pop("OUTHAUL_TOKEN") + "\n")
    more = ("--token-file", "token", "--json")
    made = here(tmp_path, "exports", "create", "line_items", "--format", "parquet", *more, **known)
    assert made.returncode == 0, made.stderr
    export_id = json.loads(made.stdout)["id"]
    got = here(tmp_path, "exports", "download", export_id, "-o", "out", *more, **known)
    assert got.returncode == 0, got.stderr
    told = json.loads(got.stdout)
    assert told["id"] == export_id
    assert told["bytes"] == sum((tmp_path / one).stat().st_size for one in told["files"])
    assert names(tmp_path / "out") == sorted(Path(one).name for one in [*told["files"], told["manifest"]])


def test_a_service_that_is_killed_while_a_file_comes_is_waited_for_and_gone_on_with(
    service: Service, known: dict[str, str], between: Proxy, export_id: str, file: bytes, tmp_path: Path
) -> None:
    before = between.passed
    stall(between, len(file) // 3)
    process = begun(tmp_path, "download", export_id, "-o", "out", **known)
    try:
        until(lambda: between.stalled, "a third has come")
        service.kill()
        between.stalled = False
        assert names(tmp_path / "out") == [f"orders.csv.{export_id}.partial"]
        service.start()
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, err
    assert (tmp_path / "out" / "orders.csv").read_bytes() == file
    assert names(tmp_path / "out") == ["manifest.json", "orders.csv"]
    assert between.passed - before < len(file) * 1.5, "it began again"


@pytest.mark.parametrize(
    "sign",
    [
        signal.SIGINT,
        *(pytest.param(one, marks=pytest.mark.heavy) for one in (signal.SIGTERM, signal.SIGKILL)),
    ],
    ids=lambda sign: sign.name,
)
def test_a_download_that_is_ended_leaves_nothing_that_looks_whole_and_the_next_goes_on(
    sign: signal.Signals,
    known: dict[str, str],
    between: Proxy,
    export_id: str,
    name: str,
    file: bytes,
    tmp_path: Path,
) -> None:
    stall(between, len(file) // 2)
    process = begun(tmp_path, "download", export_id, "-o", "out", **known)
    try:
        until(lambda: between.stalled, "half of it has come")
        process.send_signal(sign)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == (-sign if sign is signal.SIGKILL else 130), err
    assert "Traceback" not in err
    assert names(tmp_path / "out") == [name]
    left = (tmp_path / "out" / name).read_bytes()
    assert left
    assert file.startswith(left)
    between.rate, between.stalled, before = None, False, between.passed
    again = here(tmp_path, "exports", "download", export_id, "-o", "out", **known)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "out" / "orders.csv").read_bytes() == file
    assert between.passed - before < len(file) - len(left) + 100_000


def test_bytes_a_second_are_shown_on_a_terminal(
    known: dict[str, str], export_id: str, tmp_path: Path
) -> None:
    status, shown = on_screen(tmp_path, "exports", "download", export_id, "-o", "out", **known)
    assert status == 0
    assert b"MB/s" in shown
    assert "━".encode() in shown
    assert b"complete and proven" in shown


def test_ids_are_completed_by_a_shell(known: dict[str, str], export_id: str, tmp_path: Path) -> None:
    shell = {"_OUTHAUL_COMPLETE": "complete_bash", "COMP_CWORD": "3"}
    found = here(tmp_path, COMP_WORDS="outhaul exports show ", **shell, **known)
    assert export_id in found.stdout.split()
    begin = f"outhaul exports show {export_id[:9]}"
    assert here(tmp_path, COMP_WORDS=begin, **shell, **known).stdout.split() == [export_id]
    known["OUTHAUL_SERVER"] = "http://127.0.0.1:1"
    nobody = here(tmp_path, COMP_WORDS="outhaul exports show ", **shell, **known)
    assert (nobody.stdout.strip(), nobody.stderr) == ("", "")


def test_a_list_says_when_there_is_more(
    known: dict[str, str], export_id: str, tmp_path: Path, asker: Asker
) -> None:
    asker.create("customers", reference="a\x1b[31mb")
    short = here(tmp_path, "exports", "list", "--limit", "1", "--json", **known)
    (one,) = map(json.loads, short.stdout.splitlines())
    assert one["reference"] == "a\x1b[31mb"
    assert "--limit N" in short.stderr
    shown = here(tmp_path, "exports", "list", **known)
    assert "\x1b" not in shown.stdout
    assert export_id in shown.stdout
    assert "--limit" not in shown.stderr


def failed(name: str) -> Callable[[Asked], Reply]:
    return lambda _: said({"data": resource(status="failed", errors_log={name: "It went wrong there."})})


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (failed("SourceAway"), 3, ["Source away: It went wrong there.", f"exports start {EXPORT}"]),
        (failed("StoreFull"), 4, ["Store full"]),
        (failed("Unproven"), 1, ["Not proven"]),
        (failed("TooMuch"), 2, ["Too much"]),
        (failed("SystemExit"), 1, ["It went wrong there."]),
        (lambda _: said({"data": resource(status="interrupted")}), 1, ["Interrupted", "exports start"]),
        (lambda _: HTML, 5, ["Service error", "It works!", "Is this the address"]),
        (lambda _: Reply(503, b""), 5, ["Service away", "503"]),
        (lambda _: Reply(404, b"nginx"), 5, ["404", "nginx"]),
    ],
)
def test_each_end_of_an_export_has_its_exit_status(
    answer: Callable[[Asked], Reply], status: int, words: list[str], tmp_path: Path
) -> None:
    with replies.answering(answer) as address:
        done = here(
            tmp_path, "exports", "follow", EXPORT, "--json", OUTHAUL_SERVER=address, OUTHAUL_TOKEN="oh_secret"
        )
    assert done.returncode == status, done.stderr
    for word in words:
        assert word in done.stderr
    assert "oh_secret" not in done.stdout + done.stderr
    said_by_json = json.loads(done.stdout.splitlines()[-1])
    assert set(said_by_json) == {"error", "message", "hint"}
    assert said_by_json["message"] in done.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "status", "words"),
    [
        (["show", "XAyRWNUzyN"], {}, 2, ["Not found", "outhaul exports list"]),
        (["create", "ordres"], {}, 2, ["orders"]),
        (["create", "orders", "--filter", "id_eq"], {}, 2, ["FIELD_PREDICATE=VALUE"]),
        (["create", "orders", "--filter", "id_eq=0"], {}, 2, ["Nothing matches"]),
        (["list", "--filter", "colour_eq=red"], {}, 2, ["colour"]),
        (["list"], {"OUTHAUL_TOKEN": "oh_wrong"}, 2, ["Not signed in", "outhaul token create"]),
        (["list"], {"OUTHAUL_TOKEN": ""}, 2, ["No token", "OUTHAUL_TOKEN", "--token-file"]),
        (["list", "--token-file", "none"], {}, 2, ["token file none"]),
        (["list", "--server", "localhost"], {}, 2, ["no address of a service"]),
        (["list", "--server", "http://127.0.0.1:1"], {}, 5, ["cannot be reached", "--server URL"]),
        (["download", "XAyRWNUzyN"], {}, 2, ["--output"]),
    ],
    ids=lambda value: "_".join(value)[:40] if isinstance(value, list) and "_" not in value[0] else None,
)
def test_what_cannot_be_done_is_said_in_a_sentence_with_a_hint(
    arguments: list[str],
    env: dict[str, str],
    status: int,
    words: list[str],
    known: dict[str, str],
    tmp_path: Path,
) -> None:
    done = here(tmp_path, "exports", *arguments, **(known | env))
    assert done.returncode == status, done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert names(tmp_path) == []


def test_to_stop_following_stops_nothing_else(tmp_path: Path) -> None:
    asked: list[Asked] = []

    def running(one: Asked) -> Reply:
        asked.append(one)
        return said({"data": resource(status="in_progress", progress=5.0)})

    with replies.answering(running) as address:
        process = begun(tmp_path, "follow", EXPORT, OUTHAUL_SERVER=address, OUTHAUL_TOKEN="oh_secret")
        try:
            until(lambda: len(asked) > 3, "it looks again and again")
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130
    assert f"outhaul exports interrupt {EXPORT}" in err
    assert {one.method for one in asked} == {"GET"}


def test_files_that_do_not_fit_their_manifest_end_with_the_status_of_what_is_not_proven(
    tmp_path: Path,
) -> None:
    env: dict[str, Any] = {"OUTHAUL_TOKEN": "oh_secret"}
    with replies.answering(Finished(data=replies.DATA[:-2] + b"x\n")) as address:
        done = here(tmp_path, "exports", "download", EXPORT, "-o", "out", OUTHAUL_SERVER=address, **env)
    assert done.returncode == 1
    assert "Not proven" in done.stderr
    assert names(tmp_path / "out") == []
