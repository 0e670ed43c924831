"""Creating exports as Commerce Layer's contract says: what is refused by number, and what failure looks like after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest

from outhaul.ledger.tables import exports
from tests.issuing import authority
from tests.served import ROWS, Asker, of_shop, served, shop

GOLDEN = json.loads((Path(__file__).parent / "commercelayer" / "errors.json").read_text())
AGENTS = ("CLI-exports/4.0.5", "@commercelayer/cli/6.9.7")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("creation"))


def asleep(place: Path, state: str, **flags: Any) -> Iterator[Asker]:
    """Somebody who asks a service whose workers sleep."""
    outhaul = of_shop(place, state, **flags)
    with outhaul.ledger, served(outhaul) as client:
        outhaul.ledger.migrate()
        yield Asker(outhaul, client)


@pytest.fixture(scope="module")
def asker(place: Path) -> Iterator[Asker]:
    yield from asleep(place, "plain")


@pytest.fixture(scope="module")
def limited(place: Path) -> Iterator[Asker]:
    yield from asleep(place, "limited", max_records=10)


def count(asker: Asker) -> int:
    found: int = asker.call("GET", "/exports").json()["meta"]["record_count"]
    return found


def test_an_export_that_nothing_matches_is_refused_before_it_is_made(asker: Asker) -> None:
    before = count(asker)
    answer = asker.ask(resource_type="orders", filters={"note_eq": "nobody's"})
    expected = GOLDEN["nothing_matches"]
    assert (answer.status_code, answer.json()) == (expected["status"], expected["body"])
    assert count(asker) == before


def test_an_export_of_too_many_records_is_refused_with_both_numbers(limited: Asker) -> None:
    answer = limited.ask(resource_type="orders")
    (error,) = answer.json()["errors"]
    (expected,) = GOLDEN["too_many"]["body"]["errors"]
    assert answer.status_code == 422
    assert error["detail"].startswith(expected["detail"])
    assert error["meta"] == {"error": "less_than_or_equal_to", "value": ROWS, "count": 10}
    same = {"detail": "", "meta": {}}
    assert error | same == expected | same
    assert count(limited) == 0
    assert limited.ask(resource_type="orders", filters={"id_lteq": 10}).status_code == 201


@pytest.mark.parametrize(
    "attributes", [{}, {"format": "docx"}, {"filters": {"prise_eq": 1}}, {"fields": ["prise"]}]
)
def test_every_422_has_a_rule_for_the_clients_that_read_it_unasked(
    asker: Asker, attributes: dict[str, Any]
) -> None:
    answer = asker.ask(**({"resource_type": "orders"} | attributes if attributes else {}))
    assert answer.status_code == 422
    assert all(error["meta"]["error"] for error in answer.json()["errors"])


@pytest.fixture
def failed(asker: Asker) -> str:
    """The id of an export that has failed."""
    export_id: str = asker.ask(resource_type="orders").json()["data"]["id"]
    why = [{"error": "SourceTimeout", "message": "query timeout", "hint": "Ask for less."}]
    with asker.outhaul.ledger._write() as write:
        ours = exports.update().where(exports.c.id == export_id)
        write.execute(ours.values(status="failed", errors=why, failed_at=exports.c.created_at))
    return export_id


@pytest.mark.parametrize("agent", AGENTS)
def test_the_official_command_line_is_shown_an_end_that_it_knows(
    asker: Asker, failed: str, agent: str
) -> None:
    def shown(headers: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = asker.call("GET", f"/exports/{failed}", headers=headers).json()["data"][
            "attributes"
        ]
        return found

    ours, theirs = shown({}), shown({"User-Agent": agent})
    assert (ours.pop("status"), theirs.pop("status")) == ("failed", "interrupted")
    assert theirs == ours
    assert theirs["errors_log"] == {"SourceTimeout": "query timeout Ask for less."}


def test_a_list_is_filtered_by_the_word_that_is_shown(asker: Asker, failed: str) -> None:
    def found(word: str, **headers: str) -> bool:
        answer = asker.call("GET", f"/exports?filter[q][status_eq]={word}&page[size]=25", headers=headers)
        return failed in [one["id"] for one in answer.json()["data"]]

    agent = {"User-Agent": AGENTS[0]}
    assert [found("failed"), found("interrupted")] == [True, False]
    assert [found("failed", **agent), found("interrupted", **agent)] == [False, True]


def test_the_service_can_be_set_to_show_failures_to_everybody(place: Path) -> None:
    for asker in asleep(place, "open", failed_as_interrupted=()):
        export_id = asker.ask(resource_type="orders").json()["data"]["id"]
        with asker.outhaul.ledger._write() as write:
            write.execute(exports.update().values(status="failed", failed_at=exports.c.created_at))
        answer = asker.call("GET", f"/exports/{export_id}", headers={"User-Agent": AGENTS[0]})
        assert answer.json()["data"]["attributes"]["status"] == "failed"


def sent(asker: Asker, key: str, **attributes: Any) -> Any:
    body = json.dumps({"data": {"type": "exports", "attributes": {"resource_type": "orders"} | attributes}})
    return asker.call("POST", "/exports", content=body, headers={"Idempotency-Key": key})


def test_a_request_that_is_sent_again_gives_the_same_export(asker: Asker) -> None:
    before = count(asker)
    answers = [sent(asker, "a key", reference="r") for _ in range(3)]
    assert {(one.status_code, one.json()["data"]["id"]) for one in answers} == {
        (201, answers[0].json()["data"]["id"])
    }
    assert count(asker) == before + 1
    assert sent(asker, "another", reference="r").json()["data"]["id"] != answers[0].json()["data"]["id"]


def test_requests_that_are_sent_at_once_give_one_export(asker: Asker) -> None:
    before = count(asker)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: sent(asker, "at once"), range(8)))
    assert {one.status_code for one in answers} == {201}
    assert len({one.json()["data"]["id"] for one in answers}) == 1
    assert count(asker) == before + 1


def test_another_request_under_the_same_key_is_refused(asker: Asker) -> None:
    made = sent(asker, "taken").json()["data"]["id"]
    answer = sent(asker, "taken", reference="x")
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["code"], error["source"]) == (
        422,
        "VALIDATION_ERROR",
        {"header": "Idempotency-Key"},
    )
    assert error["meta"]["error"] == "invalid"
    assert made in error["detail"]


def test_a_key_belongs_to_its_token_and_ends_with_its_export(asker: Asker) -> None:
    first = sent(asker, "mine").json()["data"]["id"]
    other = Asker(asker.outhaul, asker.client)
    assert sent(other, "mine", reference="x").json()["data"]["id"] != first
    assert asker.call("DELETE", f"/exports/{first}").status_code == 204
    again = sent(asker, "mine", reference="y")
    assert again.status_code == 201
    assert again.json()["data"]["id"] != first


@pytest.mark.parametrize("attributes", [{}, {"reference": "x"}])
def test_a_key_of_one_application_is_another_in_another_organization(
    place: Path, attributes: dict[str, Any]
) -> None:
    with authority() as other:
        for asker in asleep(place, f"organizations-{len(attributes)}", trusted_issuers=[other.url]):
            made = {}
            for organization, wanted in (("1", {}), ("2", attributes)):
                asker.token = other.token(organization={"id": organization})
                answer = sent(asker, "a key", **wanted)
                assert answer.status_code == 201, answer.text
                made[organization] = answer.json()["data"]["id"]
                assert sent(asker, "a key", **wanted).json()["data"]["id"] == made[organization]
                assert count(asker) == 1
            assert made["1"] != made["2"]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_what_is_no_key_is_refused(asker: Asker, key: str) -> None:
    answer = sent(asker, key)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["source"]) == (400, {"header": "Idempotency-Key"})


def test_a_service_for_tests_says_so_in_its_tokens_and_resources(place: Path) -> None:
    for asker in asleep(place, "test", mode="test"):
        assert asker.ask(resource_type="orders").json()["data"]["meta"]["mode"] == "test"
        secret, kept = asker.outhaul.access.make_client("x", tenant="1")
        body = {"grant_type": "client_credentials", "client_id": kept.id, "client_secret": secret}
        token = asker.client.post("/oauth/token", json=body).json()["access_token"]
        assert jwt.decode(token, options={"verify_signature": False})["test"] is True


def test_guess_an_export_too_many_waits(place: Path) -> None:
    for asker in asleep(place, "patient", window=2):
        assert {asker.ask(resource_type="orders").status_code for _ in range(4)} == {201}


@pytest.fixture
def strict(place: Path) -> Iterator[Asker]:
    yield from asleep(place, "strict", window=2, window_refuses=True)


def test_guess_an_export_too_many_can_be_refused(strict: Asker) -> None:
    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(lambda _: strict.ask(resource_type="orders").status_code, range(6)))
    assert sorted(codes) == [201, 201, 422, 422, 422, 422]
    (error,) = strict.ask(resource_type="orders").json()["errors"]
    assert error["source"] == {"pointer": "/data/attributes/status"}
    assert error["meta"] == {"error": "too_many_at_once", "value": 2, "count": 2}
    other = Asker(strict.outhaul, strict.client, tenant="1")
    assert other.ask(resource_type="orders").status_code == 201, "each organization has its own"
    strict.change(strict.call("GET", "/exports?sort=created_at").json()["data"][0]["id"], _interrupt=True)
    assert strict.ask(resource_type="orders").status_code == 201
