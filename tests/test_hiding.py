"""What looks like a secret or like bookkeeping is not offered unless somebody says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from outhaul.catalog import Catalog, Field, Hidden, Relationship, Resource, Type
from outhaul.hiding import offered
from tests.databases import SHOP, sqlite


@pytest.fixture
def reflected(tmp_path: Path) -> Catalog:
    with sqlite(tmp_path / "shop.db") as database:
        database.run(*SHOP)
        return database.reflect()


def names(resource: Resource) -> list[str]:
    return [one.name for one in resource.fields]


def test_without_a_file_all_but_secrets_and_bookkeeping_is_offered(reflected: Catalog) -> None:
    catalog = offered(reflected)
    assert set(catalog.resources) == {"companies", "customers", "line_items", "orders", "skus"}
    assert names(catalog.resources["customers"]) == ["id", "email", "company_id"]
    assert set(catalog.hidden) == {
        Hidden("schema_migrations", None, "looks like the bookkeeping of a framework"),
        Hidden("customers", "password_hash", "looks like a secret"),
    }
    columns = [one.name for one in catalog.resources["customers"].columns]
    assert "password_hash" in columns, "a rule or a join may still use it"


@pytest.mark.parametrize(
    "name",
    [
        *(
            "password",
            "password_hash",
            "passwd",
            "encrypted_password",
            "userPassword",
            "token",
            "reset_token",
        ),
        *(
            "accessToken",
            "token_expires_at",
            "hash",
            "file_hash",
            "secret",
            "client_secret",
            "salt",
            "api_key",
        ),
        *(
            "apiKey",
            "APIKEY",
            "private_key",
            "otp_secret",
            "card_cvv",
            "session_key",
            "Auth Token",
            "credentials",
        ),
    ],
)
def test_a_column_that_looks_like_a_secret_is_hidden(reflected: Catalog, name: str) -> None:
    one = Field(name, name, Type.TEXT, "TEXT")
    table = Resource("things", None, "things", "table", (one,), columns=(one,))
    assert names(offered(Catalog("sqlite", {"things": table})).resources["things"]) == []


@pytest.mark.parametrize(
    "name",
    [
        *(
            "id",
            "code",
            "hashtag",
            "secretary",
            "assault",
            "passenger",
            "tokenised",
            "keyboard",
            "public_key",
        ),
        *("foreign_key", "pass", "compass", "saltiness", "description", "digestive", "customer_id"),
    ],
)
def test_a_column_that_only_sounds_like_a_secret_is_offered(reflected: Catalog, name: str) -> None:
    one = Field(name, name, Type.TEXT, "TEXT")
    table = Resource("things", None, "things", "table", (one,), columns=(one,))
    assert names(offered(Catalog("sqlite", {"things": table})).resources["things"]) == [name]


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        *(
            (name, True)
            for name in ("alembic_version", "schema_migrations", "ar_internal_metadata", "sessions")
        ),
        *((name, True) for name in ("django_session", "django_migrations", "_prisma_migrations", "api_keys")),
        *((name, True) for name in ("flyway_schema_history", "__EFMigrationsHistory", "oauth_access_tokens")),
        *(
            (name, False)
            for name in ("orders", "training_sessions", "immigrations_office", "versions", "jobs")
        ),
    ],
)
def test_bookkeeping_of_frameworks_is_hidden(name: str, hidden: bool) -> None:
    one = Field("id", "id", Type.INTEGER, "INTEGER")
    table = Resource(name, None, name, "table", (one,), columns=(one,))
    assert (name in offered(Catalog("sqlite", {name: table})).resources) is not hidden


def test_a_relationship_to_something_hidden_is_not_offered(reflected: Catalog) -> None:
    key = Relationship("migration", "schema_migrations", many=False, on=(("id", "version"),))
    skus = replace(reflected.resources["skus"], relationships=(key,), ways=(key,))
    catalog = offered(replace(reflected, resources={**reflected.resources, "skus": skus}))
    assert catalog.resources["skus"].relationships == ()
    assert catalog.resources["skus"].ways == (key,)
