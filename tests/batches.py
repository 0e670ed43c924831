"""A company with profiles and events, served to clients of Batch, on SQLite or PostgreSQL."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import psycopg

from outhaul.app import Outhaul
from tests import documented
from tests.served import put_together, served, until

SCHEMA = json.loads((Path(__file__).parent / "wire" / "batch.schema.json").read_text())
VERSION = "2.11"
DOCUMENT = documented.document("batch")  # made now: some tests change limits that it tells of
PEOPLE = 40
SPELLED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
TABLES = """
CREATE TABLE people (id integer PRIMARY KEY, company text NOT NULL, ref text, mail text, name text, lang text,
    age integer, joined timestamptz);
CREATE TABLE devices (id integer PRIMARY KEY, person_id integer NOT NULL REFERENCES people (id), company text NOT NULL,
    serial text);
CREATE TABLE messages (id integer PRIMARY KEY, person_id integer NOT NULL REFERENCES people (id), company text NOT NULL,
    kind text NOT NULL, sent_at timestamptz, campaign integer, device text);
"""
CATALOG = """
[resources.people]
tenant = "company"
[resources.people.segments.french.filters]
lang_eq = "fr"
[resources.devices]
tenant = "company"
[resources.messages]
tenant = "company"
[batch.projects]
project_acme = "acme"
project_beta = "beta"
[batch.profiles]
resource = "people"
custom_id = "ref"
installation_ids = "devices.serial"
[batch.profiles.attributes]
"$email_address" = "mail"
"$language" = "lang"
"$creation_date" = "joined"
firstname = "name"
age = "age"
[batch.segments]
FR-2026 = "french"
[batch.events.email_sent]
resource = "messages"
date = "sent_at"
orchestration_id = "campaign"
custom_id = "person.ref"
installation_id = "device"
filters = { kind_eq = "email" }
[batch.events.push_open]
resource = "messages"
date = "sent_at"
orchestration_id = "campaign"
custom_id = "person.ref"
installation_id = "device"
filters = { kind_eq = "push" }
"""


def rows(today: datetime) -> Mapping[str, list[tuple[Any, ...]]]:
    """Of two companies: `beta` has every fifth person. Some events are too old to be asked for, some are to come."""
    people, devices, messages = [], [], []
    for n in range(1, PEOPLE + 1):
        company = "acme" if n % 5 else "beta"
        name = (None, "Zoë", 'say "hi"', "a\nb", "")[n % 5 if n % 7 else 0]
        lang = ("fr", "en", None)[n % 3]
        joined = None if n % 4 == 0 else stamp(today - timedelta(days=n * 9))
        people.append((n, company, f"c{n}" if n % 3 else None, f"{n}@example.com", name, lang, n, joined))
        devices += [(10 * n + d, n, company, f"i{n}-{d}" if n + d != 8 else None) for d in range(n % 3)]
        for m in range(4):
            at = today - timedelta(days=30 * m, hours=n) if n != 7 or m else today + timedelta(days=2)
            kind = ("email", "push", "sms")[(n + m) % 3]
            campaign = n % 4 or None
            device = f"i{n}-0" if kind == "push" and n % 3 else None
            messages.append((10 * n + m, n, company, kind, stamp(at), campaign, device))
    return {"people": people, "devices": devices, "messages": messages}


def stamp(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


class Source:
    """The company's database."""

    def __init__(self, url: str) -> None:
        self.url = url

    def fill(self) -> None:
        if self.url.startswith("sqlite"):
            self.run("PRAGMA journal_mode = WAL")
        for statement in filter(str.strip, TABLES.split(";")):
            self.run(statement)
        for table, some in rows(datetime.now(UTC)).items():
            self.add(table, some)

    def add(self, table: str, some: Sequence[Sequence[Any]]) -> None:
        """More rows of a table."""
        one = f"({', '.join('?' * len(some[0]))})"
        together = f"INSERT INTO {table} VALUES {', '.join([one] * len(some))}"
        self.run(together, *(value for row in some for value in row))

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What it answers; `?` stands for a value."""
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection, connection:
                return connection.execute(statement, values).fetchall()
        with psycopg.connect(self.url, autocommit=True) as postgres:
            asked = postgres.execute(statement.replace("?", "%s").encode(), values or None)
            return asked.fetchall() if asked.description else []


@dataclass(frozen=True)
class Key:
    """A REST key, used for one project."""

    client: httpx.Client
    token: str
    project: str

    def call(self, method: str, path: str, version: str = VERSION, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", "X-Batch-Project": self.project}
        return self.client.request(
            method, f"/{version}{path}", headers=headers | more.pop("headers", {}), **more
        )

    def create(self, **members: Any) -> str:
        """The id of a new export."""
        answer = self.call("POST", "/profiles/export", json=members)
        assert answer.status_code == 202, answer.text
        made: str = valid(answer.json(), "created")["id"]
        return made

    def view(self, export_id: str, version: str = VERSION) -> dict[str, Any]:
        answer = self.call("GET", "/exports/view", version, params={"id": export_id})
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = valid(answer.json(), "request")
        return shown

    def ended(self, **members: Any) -> dict[str, Any]:
        """A new export when it has ended."""
        export_id = self.create(**members)
        found: dict[str, Any] = until(
            lambda: (seen := self.view(export_id))["status"] in {"SUCCESS", "ERROR"} and seen, "an end"
        )
        return found

    def download(self, file: Mapping[str, Any]) -> bytes:
        """By the file's own address, and then by a link that needs nothing."""
        answer = self.call("GET", "/exports/download", params={"id": file["id"]})
        assert (answer.status_code, answer.content) == (307, b"")
        fetched = self.client.get(answer.headers["location"])
        assert fetched.status_code == 200, fetched.text
        assert len(fetched.content) == file["size"]
        return fetched.content

    def lines(self, shown: Mapping[str, Any]) -> list[Any]:
        """Every line of all files of an export."""
        assert shown["status"] == "SUCCESS"
        assert [one["part"] for one in shown["files"]] == list(range(1, len(shown["files"]) + 1))
        data = b"".join(self.download(one) for one in shown["files"])
        assert data == b"" or data.endswith(b"\n")
        return [json.loads(line) for line in data.splitlines()]


def valid(body: Any, name: str) -> Any:
    """The body, which is as the vendor's fragment says."""
    jsonschema_rs.Draft202012Validator(SCHEMA | {"$ref": f"#/$defs/{name}"}).validate(body)
    return body


def company(url: str, place: Path, state: str = "state", **flags: Any) -> Outhaul:
    """Everything on a database that is filled already, not begun yet."""
    (place / "batch.toml").write_text(CATALOG)
    return put_together(url, place / state, **({"catalog": place / "batch.toml"} | flags))


@contextmanager
def serving(url: str, place: Path, state: str = "state", **flags: Any) -> Iterator[tuple[Outhaul, Key]]:
    """A company's service at work, with a key for `acme`."""
    with company(url, place, state, **flags) as outhaul, served(outhaul) as client:
        token, _ = outhaul.access.make_token("rest key", tenant="acme")
        yield outhaul, Key(client, token, "project_acme")


@contextmanager
def asleep(url: str, place: Path, state: str, **flags: Any) -> Iterator[tuple[Outhaul, Key]]:
    """The same without anybody who works: exports stay as they were made."""
    outhaul = company(url, place, state, **flags)
    with outhaul.ledger:
        outhaul.ledger.migrate()
        with served(outhaul) as client:
            token, _ = outhaul.access.make_token("rest key", tenant="acme")
            yield outhaul, Key(client, token, "project_acme")


def without(members: dict[str, Any]) -> dict[str, Any]:
    """What has a value."""
    return {name: value for name, value in members.items() if value is not None}


def moment(text: Any) -> datetime | None:
    if text is None or isinstance(text, datetime):
        return text
    return datetime.fromisoformat(text)


def ordered(lines: list[Any]) -> list[Any]:
    return sorted(lines, key=lambda one: json.dumps(one, sort_keys=True, default=str))


def profiles(source: Source, where: str = "") -> list[Any]:
    """Oracle: every profile of `acme`, by plain questions."""
    found = []
    for number, ref, mail, name, lang, age, joined in source.run(
        f"SELECT id, ref, mail, name, lang, age, joined FROM people WHERE company = 'acme' {where}"
    ):
        tokens = source.run(
            "SELECT serial FROM devices WHERE person_id = ? AND serial IS NOT NULL ORDER BY id", number
        )
        identifiers = without({"custom_id": ref, "installation_ids": [one for (one,) in tokens] or None})
        told = {"$email_address": mail, "firstname": name, "$language": lang, "age": age}
        found.append(
            {
                "identifiers": identifiers,
                "attributes": without(told | {"$creation_date": moment(joined)}),
            }
        )
    return ordered(found)


def events(source: Source, kind: str, name: str, since: str, where: str = "") -> list[Any]:
    """Oracle: every event of `acme` of a kind up to now."""
    rows = source.run(
        "SELECT m.sent_at, p.ref, m.device, m.campaign FROM messages m JOIN people p ON p.id = m.person_id "
        f"WHERE m.company = 'acme' AND m.kind = ? {where}",
        kind,
    )
    now = datetime.now(UTC)
    return ordered(
        [
            without(
                {
                    "event": name,
                    "date": moment(at),
                    "identifiers": without({"custom_id": ref, "installation_id": device}),
                    "orchestration_id": None if campaign is None else str(campaign),
                }
            )
            for at, ref, device, campaign in rows
            if datetime.fromisoformat(since) <= (moment(at) or now) <= now
        ]
    )


def dated(lines: list[Any]) -> list[Any]:
    """With times as times, which are spelled in one way, whatever the database."""
    for line in lines:
        for group, name in ((line, "date"), (line.get("attributes", {}), "$creation_date")):
            if name in group:
                assert SPELLED.fullmatch(group[name])
                group[name] = moment(group[name])
    return ordered(lines)
