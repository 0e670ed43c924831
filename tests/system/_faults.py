"""What every fault must end in: a sentence, no half files, and an export that can be started again."""

from __future__ import annotations

from tests.system import _oracle
from tests.system._outhaul import Asker, Run
from tests.system._shop import Shop

BIG = Shop(customers=100, orders=8000, lines=2, note=1000)  # 8 MB of orders
PARTS = 400_000
PAUSE = "100ms"  # before a part is tried again; by default a fault that stays takes 15 s to be told


def said_in_words(text: str) -> None:
    """A sentence a customer can act on: no traceback, no bare class name."""
    assert "Traceback" not in text
    assert len(text.split()) >= 5, text


def nothing_half(run: Run) -> None:
    """A failed command leaves nothing that could be taken for an export."""
    assert not run.folder.exists() or not [path for path in run.folder.rglob("*") if path.is_file()], list(
        run.folder.rglob("*")
    )


def failed_in_words(asker: Asker, export_id: str, *words: str, patience: float = 60) -> None:
    last = asker.wait(export_id, patience=patience)
    assert last["status"] == "failed", last
    assert last["attachment_url"] is None
    said_in_words(" ".join(map(str, last["errors_log"].values())))
    text = str(last["errors_log"]).lower()
    assert any(word in text for word in words), last["errors_log"]


def started_again(asker: Asker, export_id: str, resource_name: str, rows: int) -> None:
    answer = asker.change(export_id, _start=True)
    assert answer.status_code == 200, answer.text
    found = _oracle.rows("json", asker.file(export_id))
    assert sorted(_oracle.numbers(found, "id")) == list(range(1, rows + 1)), resource_name
    assert asker.get(export_id)["errors_log"] == {}
