"""The sandbox: a well-formed shop, the same each time, served with credentials that are worth what they say."""

from __future__ import annotations

import csv
import gzip
import io
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import httpx
import pytest

from outhaul import cli, pipeline
from outhaul.commands import sandbox as command
from outhaul.sandbox import shop
from outhaul.sandbox.tables import TABLES
from outhaul.worker import brake
from tests import sandboxes, trees
from tests.receiver import receiving
from tests.sandboxes import Sandbox
from tests.served import MEDIA_TYPE
from tests.terminal import until
from tests.test_pipeline import FORMATS, ORDERS, Memory, Session, check, orders, part

# Those that the official command line knows: the contract, section 2.
KNOWN = (
    "addresses authorizations bundles captures coupons customer_addresses customer_payment_sources "
    "customer_subscriptions customers gift_cards line_items line_item_options orders payment_methods "
    "price_tiers prices refunds returns shipments shipping_categories shipping_methods sku_lists "
    "sku_list_items sku_options skus stock_items stock_transfers tags tax_categories transactions voids"
)
# What the official dashboard offers to include: the contract, section 2; but tags, which are of no table there.
INCLUDED = {
    "bundles": "sku_list",
    "customer_subscriptions": "customer",
    "customers": "customer_addresses customer_subscriptions orders returns",
    "coupons": "promotion_rule.promotion",
    "in_stock_subscriptions": "customer market sku",
    "orders": "customer shipping_address billing_address payment_method line_items line_items.line_item_options "
    "shipments shipments.shipping_method returns returns.return_line_items authorizations captures voids refunds "
    "transactions",
    "order_subscriptions": "customer customer_payment_source market source_order order_subscription_items",
    "prices": "sku price_tiers",
    "returns": "order return_line_items",
    "shipments": "order stock_line_items shipping_category shipping_method origin_address shipping_address parcels",
    "shipping_categories": "skus",
    "skus": "shipping_category prices prices.price_tiers stock_items tax_categories",
    "sku_lists": "sku_list_items bundles",
    "stock_items": "sku",
}
MEMBERS = {
    *("organization", "access_token", "client_id", "client_secret"),
    *("expired_token", "sales_channel_token", "other_organization_token"),
}
REBILLY = {
    *("api_key", "organization_id", "jwt"),
    *("limited_key", "other_api_key", "other_organization_id"),
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """The shop at the default scale, to look into."""
    file = tmp_path_factory.mktemp("shop") / "shop.db"
    shop.make(file, "1", 1.0)
    with closing(sqlite3.connect(file)) as connection:
        yield connection


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with sandboxes.started(tmp_path_factory.mktemp("sandbox")) as found:
        yield found


def test_the_shop_is_well_formed(database: sqlite3.Connection) -> None:
    def one(question: str) -> tuple[int, ...]:
        found: tuple[int, ...] = database.execute(question).fetchone()
        return found

    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert one("SELECT count(*), count(DISTINCT organization_id) FROM organizations") == (2, 2)
    assert one("SELECT sum(organization_id = 'sandbox'), count(*) FROM markets") == (2, 4)
    skus, codes, names = one("SELECT count(*), count(code), count(name) FROM skus")
    assert skus == codes == names <= 1000
    lines = "SELECT sum(total_amount_cents) FROM line_items WHERE order_id = orders.id"
    assert one(f"SELECT count(*) FROM orders WHERE subtotal_amount_cents IS NOT ({lines})") == (0,)
    assert one(
        "SELECT sum(total_amount_cents - subtotal_amount_cents - shipping_amount_cents) FROM orders"
    ) == (0,)
    assert [name for name in TABLES if one(f"SELECT count(*) FROM {name}") == (0,)] == []


def test_no_row_points_into_the_other_organization(database: sqlite3.Connection) -> None:
    for name, columns in TABLES.items():
        for column in columns:
            found = re.match(r"(\w+) TEXT REFERENCES (\w+)", column)
            if found:
                astray = database.execute(
                    f"SELECT count(*) FROM {name} a JOIN {found[2]} b ON b.id = a.{found[1]} "
                    "WHERE a.organization_id <> b.organization_id"
                )
                assert astray.fetchone() == (0,), (name, found[1])


def test_ids_are_as_commerce_layers(database: sqlite3.Connection) -> None:
    for name in set(TABLES) - {"organizations"}:
        ids = [found for (found,) in database.execute(f"SELECT id FROM {name}")]
        assert all(re.fullmatch(r"[A-Za-z]{10}", one) for one in ids), name


def test_the_same_seed_makes_the_same_rows_and_another_seed_others(tmp_path: Path) -> None:
    texts, ids = [], []
    for number, seed in enumerate(("a", "a", "b")):
        shop.make(tmp_path / f"{number}.db", seed, 0.02)
        with closing(sqlite3.connect(tmp_path / f"{number}.db")) as connection:
            texts.append("\n".join(connection.iterdump()))
            ids.append(set(connection.execute("SELECT id FROM orders UNION SELECT id FROM markets")))
    assert texts[0] == texts[1]
    assert not ids[0] & ids[2]


def test_all_types_of_the_official_command_line_are_there() -> None:
    assert len(KNOWN.split()) == 31
    assert set(KNOWN.split()) <= TABLES.keys()


def test_its_line_tells_all_that_clients_need(sandbox: Sandbox) -> None:
    assert sandbox.told.keys() == {"base_url", "console_url", "commercelayer", "batch", "rebilly"}
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", sandbox.base)
    page = httpx.get(sandbox.told["console_url"], follow_redirects=True, trust_env=False)
    assert (page.status_code, "text/html" in page.headers["content-type"]) == (200, True)
    assert sandbox.credentials.keys() == MEMBERS
    assert sandbox.told["rebilly"].keys() == REBILLY


def test_each_credential_is_worth_what_its_name_says(sandbox: Sandbox) -> None:
    mine = sandbox.create(resource_type="tags")
    assert mine["meta"]["organization_id"] == sandbox.credentials["organization"]
    path = f"/exports/{mine['id']}"
    assert sandbox.call("GET", path).status_code == 200
    for token, status, code in (
        ("expired_token", 401, "INVALID_TOKEN"),
        ("sales_channel_token", 401, "UNAUTHORIZED"),
        ("other_organization_token", 404, "RECORD_NOT_FOUND"),
    ):
        answer = sandbox.call("GET", path, token)
        assert (answer.status_code, answer.json()["errors"][0]["code"]) == (status, code)
    assert sandbox.call("GET", "/exports", "other_organization_token").status_code == 200


def test_its_client_gets_tokens(sandbox: Sandbox) -> None:
    given = {name: sandbox.credentials[name] for name in ("client_id", "client_secret")}
    body = given | {"grant_type": "client_credentials"}
    answer = sandbox.client.post("/oauth/token", json=body)
    assert answer.status_code == 200
    headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert sandbox.client.get("/api/exports", headers=headers).status_code == 200


def test_each_organization_has_its_own_rows(sandbox: Sandbox) -> None:
    counts = {}
    for token in ("access_token", "other_organization_token"):
        body = {"data": {"type": "exports", "attributes": {"resource_type": "skus"}}}
        answer = sandbox.call("POST", "/exports", token, json=body)
        counts[token] = answer.json()["data"]["attributes"]["records_count"]
    assert counts == {"access_token": 600, "other_organization_token": 120}


def test_a_token_of_one_market_narrows_its_exports_to_it(sandbox: Sandbox) -> None:
    given = {name: sandbox.credentials[name] for name in ("client_id", "client_secret")}
    body = given | {"grant_type": "client_credentials", "scope": "market:code:usa"}
    token = sandbox.client.post("/oauth/token", json=body).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Content-Type": MEDIA_TYPE}
    usa = "SELECT id FROM markets WHERE code = 'usa' AND organization_id = 'sandbox'"
    for resource, rows in {
        "orders": f"SELECT count(*) FROM orders WHERE market_id IN ({usa})",
        "prices": "SELECT count(*) FROM prices WHERE currency_code = 'USD' AND organization_id = 'sandbox'",
        "coupons": "SELECT count(*) FROM coupons WHERE code LIKE '%USD%' AND organization_id = 'sandbox'",
        "stock_items": "SELECT count(*) / 2 FROM stock_items WHERE organization_id = 'sandbox'",
        "customers": "SELECT count(*) FROM customers WHERE organization_id = 'sandbox'",
    }.items():
        wanted = {"resource_type": resource, "jwt_filters": True}
        data = {"data": {"type": "exports", "attributes": wanted}}
        made = sandbox.client.post("/api/exports", json=data, headers=headers).json()["data"]
        with closing(sqlite3.connect(sandbox.database)) as connection:
            assert (made["attributes"]["records_count"],) == connection.execute(rows).fetchone(), resource
        sandbox.interrupt(made["id"])


def test_its_webhooks_may_call_this_machine(sandbox: Sandbox) -> None:
    with receiving() as receiver:
        hook = {"name": "mine", "topic": "exports.create", "callback_url": receiver.url}
        made = sandbox.call("POST", "/webhooks", json={"data": {"type": "webhooks", "attributes": hook}})
        assert made.status_code == 201, made.text
        sandbox.create(resource_type="tags")
        until(lambda: receiver.got, "a message")
    sandbox.call("DELETE", f"/webhooks/{made.json()['data']['id']}")


def test_no_field_is_hidden_but_whose_the_rows_are(sandbox: Sandbox) -> None:
    made = sandbox.create(resource_type="customers", fields=["email", "has_password"])
    assert made["attributes"]["fields"] == ["email", "has_password"]
    body = {
        "data": {"type": "exports", "attributes": {"resource_type": "tags", "fields": ["organization_id"]}}
    }
    assert sandbox.call("POST", "/exports", json=body).status_code == 422


@pytest.mark.parametrize("resource", INCLUDED)
def test_what_the_official_dashboard_includes_is_there(resource: str, sandbox: Sandbox) -> None:
    made = sandbox.create(resource_type=resource, includes=INCLUDED[resource].split())
    sandbox.interrupt(made["id"])


def test_line_items_take_long_enough_to_watch_and_are_all_there(sandbox: Sandbox) -> None:
    began = time.monotonic()
    made = sandbox.create(resource_type="line_items", format="csv", fields=["id"])
    seen = set()

    def there() -> bool:
        found = sandbox.get(made["id"])
        seen.add(found["progress"])
        return bool(found["status"] == "completed")

    until(there, "completed")
    assert time.monotonic() - began >= 3
    assert len([one for one in seen if 0 < one < 100]) >= 3
    link = sandbox.get(made["id"])["attachment_url"]
    text = gzip.decompress(sandbox.client.get(link).content).decode()
    with closing(sqlite3.connect(sandbox.database)) as connection:
        wanted = connection.execute("SELECT id FROM line_items WHERE organization_id = 'sandbox'").fetchall()
    assert sorted(row["id"] for row in csv.DictReader(io.StringIO(text))) == sorted(one for (one,) in wanted)


def test_it_can_be_interrupted_half_way(sandbox: Sandbox) -> None:
    made = sandbox.create(resource_type="line_items")
    until(lambda: 0 < sandbox.get(made["id"])["progress"] < 100, "progress")
    answer = sandbox.interrupt(made["id"]).json()["data"]["attributes"]
    assert answer["status"] == "interrupted"
    assert 0 < answer["progress"] < 100


def test_the_next_one_has_the_same_secrets_and_new_tokens_and_ends_in_order_while_it_works(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "outhaul.toml").write_text("max_records = 0\n")
    mine = {"OUTHAUL_LEDGER": f"sqlite:///{tmp_path}/mine.db", "OUTHAUL_PUBLIC_URL": "https://example.com"}
    arguments = ("--scale", "0.02", "--rate-limits", "documented")
    with sandboxes.started(tmp_path, *arguments, sign=signal.SIGINT, **mine) as other:
        lasting = {"organization", "client_id", "client_secret"}
        here, there = sandbox.credentials, other.credentials
        assert {name for name in MEMBERS if here[name] == there[name]} == lasting
        mine, theirs = sandbox.told["rebilly"], other.told["rebilly"]
        assert {name for name in REBILLY if mine[name] != theirs[name]} == {"jwt"}
        assert other.call("GET", "/exports").headers["X-Ratelimit-Limit"] == "200"
        other.create(resource_type="line_items")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outhaul.toml", "sandbox.log", "tmp"]
    assert "X-Ratelimit-Limit" not in sandbox.call("GET", "/exports").headers


@pytest.fixture
def heeded() -> Iterator[None]:
    """What is started here heeds the end of its terminal, even where these tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heeded")
def test_it_leaves_nothing_when_its_terminal_is_closed(tmp_path: Path) -> None:
    with sandboxes.started(tmp_path, "--scale", "0.01", sign=signal.SIGHUP) as other:
        assert other.call("GET", "/exports").status_code == 200


def test_for_people_each_credential_is_a_line(sandbox: Sandbox) -> None:
    blocks = {"commercelayer": dict(sandbox.credentials), "batch": {"project": "p"}, "rebilly": {"jwt": "j"}}
    lines = command._said(sandbox.base, blocks, as_json=False).splitlines()
    places = {"base_url": sandbox.base, "console_url": f"{sandbox.base}/console/"}
    told = {**places, **sandbox.credentials, "batch_project": "p", "rebilly_jwt": "j"}
    assert dict(line.split("=", 1) for line in lines) == told


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "example.com"])
def test_it_listens_on_this_machine_alone(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sandbox", "--json", "--port", "0", "--host", host]) == cli.WRONG_USE
    said = capsys.readouterr()
    assert said.out == ""
    assert host in said.err
    assert "127.0.0.1" in said.err


@pytest.mark.parametrize("scale", ["inf", "1e400", "nan", "100.1", "0", "-1"])
def test_a_shop_that_is_too_large_or_too_small_is_refused_with_the_limits(
    scale: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["sandbox", "--json", "--port", "0", f"--scale={scale}"]) == cli.WRONG_USE
    said = capsys.readouterr()
    assert said.out == ""
    assert "from 0.01 to 100" in said.err


@pytest.mark.parametrize("name", FORMATS)
def test_a_brake_changes_nothing_but_the_time(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, store = orders(120), Memory()
    done: list[int] = []
    monkeypatch.setattr(brake, "BEATS", 100)
    session = brake.Braked(Session([trees.stream(ORDERS, rows, Random(3))]), 700)
    began = time.monotonic()
    made = pipeline.run(session, trees.plan(ORDERS), part(name), store, lambda: None, done.append)
    assert time.monotonic() - began >= 120 / 700
    check(store, made, name, ORDERS, rows)
    assert max(after - before for before, after in zip([0, *done], done, strict=False)) <= 7
