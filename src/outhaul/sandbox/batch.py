"""The sandbox's part for clients of Batch: profiles, their installations and what happened to them, and keys to ask."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from outhaul.access import PREFIX, Access, digest
from outhaul.ledger.tokens import NewToken
from outhaul.sandbox.places import CITIES, FIRST, LAST

SEGMENT = "NEWSLETTER"
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
DAYS = 120  # that events go back, of which 90 can be asked for
EVENTS = 6  # of a profile
ORCHESTRATIONS = 5
PUSHED = ("push_sent", "push_bounced", "push_open")
KINDS = (
    *("email_bounced", "email_click", "email_delivered", "email_open", "email_sent", "email_spam_complaint"),
    *("email_unsubscribed", "sms_sent", "sms_bounced", "sms_delivered", "sms_unsubscribed", *PUSHED),
)
TIMES = (
    *("creation_date", "last_activity", "last_visit_date", "install_date", "last_email_marketing_click"),
    *("last_email_marketing_open", "last_email_transactional_click", "last_email_transactional_open"),
)
TEXTS = ("email_address", "email_marketing", "phone_number", "sms_marketing", "city", "language", "region")
OTHERS = ("timezone", "push_subscriptions", "topic_preferences", "email_open_tracking_consent")
MARKETING = ("subscribed", "unsubscribed", None)
ZONES = {"IT": "Europe/Rome", "FR": "Europe/Paris", "DE": "Europe/Berlin", "US": "America/New_York"}
LANGUAGES = {"IT": "it", "FR": "fr", "DE": "de", "US": "en"}


def schema() -> Iterator[str]:
    """The statements that make the tables."""
    whose = "id TEXT PRIMARY KEY NOT NULL, organization_id TEXT NOT NULL"
    texts = ", ".join(f"{name} TEXT" for name in (*TEXTS, "timezone"))
    times = ", ".join(f"{name} TIMESTAMPTZ" for name in TIMES)
    yield (
        f"CREATE TABLE profiles ({whose}, custom_id TEXT, firstname TEXT, {texts}, {times}, push_subscriptions JSON, "
        "topic_preferences JSON, email_open_tracking_consent BOOLEAN)"
    )
    of_profile = "profile_id TEXT NOT NULL REFERENCES profiles (id)"
    yield f"CREATE TABLE installations ({whose}, {of_profile}, installation_id TEXT NOT NULL)"
    yield (
        f"CREATE TABLE profile_events ({whose}, {of_profile}, kind TEXT NOT NULL, happened_at TIMESTAMPTZ NOT NULL, "
        "orchestration_id TEXT, installation_id TEXT)"
    )


def indexes() -> Iterator[str]:
    """The statements that make their indexes."""
    for name in ("installations", "profile_events"):
        yield f"CREATE INDEX {name}_profile_id ON {name} (profile_id)"
    yield "CREATE INDEX profile_events_kind ON profile_events (organization_id, kind, happened_at)"


def fill(connection: sqlite3.Connection, seed: str, organization: str, many: int, today: datetime) -> None:
    """Write so many profiles and all about them. What happened to them was in the days before `today`, or nobody could
    ask for it."""
    _Profiles(connection, seed, organization, today).fill(many)


class _Profiles:
    def __init__(self, connection: sqlite3.Connection, seed: str, organization: str, today: datetime) -> None:
        self._connection = connection
        self._chance = Random(f"{seed}/{organization}/batch")  # noqa: S311  # made up, and the same each time
        self._organization, self._today = organization, today
        self._orchestrations = [self._id() for _ in range(ORCHESTRATIONS)]

    def fill(self, many: int) -> None:
        for number in range(many):
            profile, devices = self._profile(number)
            for _ in range(EVENTS):
                self._event(profile, devices)

    def _profile(self, number: int) -> tuple[str, list[str]]:
        chance, country = self._chance, self._chance.choice(tuple(CITIES))
        first, last = chance.choice(FIRST), chance.choice(LAST)
        devices = [self._id() for _ in range(chance.choice((0, 1, 1, 2)))]
        values: dict[str, Any] = {
            "id": self._id(),
            "custom_id": f"customer-{number + 1}" if number % 10 else None,
            "firstname": first if self._often(90) else None,
            "email_address": f"{first}.{last}.{number}@example.com".lower().replace("'", ""),
            "email_marketing": chance.choice(MARKETING),
            "phone_number": f"+{chance.randint(10**10, 10**11 - 1)}" if self._often(60) else None,
            "sms_marketing": chance.choice(MARKETING),
            "city": chance.choice(CITIES[country])[0],
            "language": LANGUAGES[country],
            "region": country,
            "timezone": ZONES[country],
            "push_subscriptions": json.dumps([{"installation_id": one, "opt_in": True} for one in devices]),
            "topic_preferences": json.dumps(["sports"] if self._often(30) else []),
            "email_open_tracking_consent": int(self._often(70)),
            **{name: self._moment() if self._often(80) else None for name in TIMES},
        }
        self._add("profiles", **values)
        for device in devices:
            self._add("installations", id=self._id(), profile_id=values["id"], installation_id=device)
        return values["id"], devices

    def _event(self, profile: str, devices: list[str]) -> None:
        kind = self._chance.choice(KINDS)
        device = self._chance.choice(devices) if devices and kind in PUSHED else None
        self._add(
            "profile_events",
            id=self._id(),
            profile_id=profile,
            kind=kind,
            happened_at=self._moment(),
            orchestration_id=self._chance.choice(self._orchestrations),
            installation_id=device,
        )

    def _add(self, table: str, **values: Any) -> None:
        row = values | {"organization_id": self._organization}
        marks = ", ".join(f":{name}" for name in row)
        statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608  # names of ours
        self._connection.execute(statement, row)

    def _id(self) -> str:
        return "".join(self._chance.choices(DIGITS, k=32))

    def _moment(self) -> str:
        before = timedelta(seconds=1 + self._chance.randrange(DAYS * 86_400))
        return f"{self._today - before:%Y-%m-%dT%H:%M:%SZ}"

    def _often(self, percent: int) -> bool:
        return self._chance.randrange(100) < percent


def catalog(seed: str, organizations: tuple[str, ...]) -> str:
    """What the catalog file of the sandbox says of it, in TOML."""
    resources = "".join(
        f'[resources.{name}]\ntenant = "organization_id"\nscopes = {{ market = false }}\n{more}'
        for name, more in (
            (
                "profiles",
                '[resources.profiles.segments.newsletter.filters]\nemail_marketing_eq = "subscribed"\n',
            ),
            ("installations", ""),
            ("profile_events", ""),
        )
    )
    projects = "".join(f'{project(seed, one)} = "{one}"\n' for one in organizations)
    named = ", ".join(f'"${name}" = "{name}"' for name in (*TEXTS, *TIMES, *OTHERS))
    profiles = (
        'resource = "profiles"\ncustom_id = "custom_id"\ninstallation_ids = "installations.installation_id"\n'
        f'attributes = {{ firstname = "firstname", {named} }}\n'
    )
    events = "".join(
        f"[batch.events.{kind}]\n"
        'resource = "profile_events"\ndate = "happened_at"\norchestration_id = "orchestration_id"\n'
        'custom_id = "profile.custom_id"\ninstallation_id = "installation_id"\n'
        f'filters = {{ kind_eq = "{kind}" }}\n'
        for kind in KINDS
    )
    segments = f'[batch.segments]\n{SEGMENT} = "newsletter"\n'
    return f"{resources}[batch.projects]\n{projects}[batch.profiles]\n{profiles}{segments}{events}"


def project(seed: str, organization: str) -> str:
    """The key of an organization's project."""
    number = int.from_bytes(_drawn(seed, organization, "project")[:20], "big")
    return "project_" + "".join(DIGITS[number >> shift & 31] for shift in range(155, -1, -5))


def credentials(
    access: Access, seed: str, organizations: tuple[str, str], database: Path
) -> dict[str, str | int]:
    """Makes a key for each organization, and says what to sign in with and how many profiles there are."""
    home, other = organizations
    keys = {
        name: PREFIX + urlsafe_b64encode(_drawn(seed, name, "key")).decode()[:43] for name in organizations
    }
    for name, key in keys.items():
        made = NewToken(f"batch-{name}", digest(key), f"REST key of {name}", name, all_tenants=False)
        access.ledger.insert_token(made)
    with closing(sqlite3.connect(database)) as connection:
        asked = connection.execute("SELECT count(*) FROM profiles WHERE organization_id = ?", (home,))
        (profiles,) = asked.fetchone()
    return {
        "rest_key": keys[home],
        "project": project(seed, home),
        "profiles": profiles,
        "segment": SEGMENT,
        "other_rest_key": keys[other],
        "other_project": project(seed, other),
    }


def _drawn(seed: str, organization: str, what: str) -> bytes:
    return hashlib.sha256(f"outhaul sandbox/{seed}/{organization}/batch {what}".encode()).digest()
