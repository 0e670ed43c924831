"""What is hidden by default: tables and columns that look like secrets or the bookkeeping of a framework."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from outhaul.catalog import Catalog, Hidden, Resource

SECRET = "looks like a secret"  # noqa: S105  # the reason, not one
BOOKKEEPING = "looks like the bookkeeping of a framework"
SIGN_IN = "looks like data of sign-ins"

# Names in lower case with `_` between words; `s?` takes the plural along.
TABLES: Mapping[str, str] = {
    r"(.*_)?(schema_)?migrations?(_lock|_history)?|schema_versions?|alembic_version(_.*)?": BOOKKEEPING,
    r"ar_internal_metadata|flyway_schema_history|databasechangelog(lock)?|goose_db_version": BOOKKEEPING,
    r"sequelize_?meta|_*ef_?migrations_?history|typeorm_metadata|spatial_ref_sys": BOOKKEEPING,
    r"django_.*|(delayed|good|que)_jobs|(solid_queue|solid_cache|celery|procrastinate|river|oban)_.*": BOOKKEEPING,
    r"(user_|auth_|login_|web_)?sessions?|auth_(permission|group_permissions|user_user_permissions)": SIGN_IN,
    r"(.*_)?(tokens?|secrets?|credentials?|api_?keys?|password_resets?)|oauth_.*|oauth2_.*": SECRET,
}
FIELDS: Mapping[str, str] = {
    r".*(password|passwd|passphrase|passcode|secret(?!ar)).*": SECRET,
    r"(.*_)?(pwd|token|hash|salt|digest|otp|totp|cvv|cvc|credential)s?(_.*)?": SECRET,
    r"(.*_)?(api|private|access|encryption|signing|session)_?keys?(_.*)?|encrypted_.*": SECRET,
}


def offered(reflected: Catalog) -> Catalog:
    """What is offered without a catalog file: everything but what is hidden by default."""
    reasons = {name: _reason(one.table, TABLES) for name, one in reflected.resources.items()}
    shown = {name: one for name, one in reflected.resources.items() if not reasons[name]}
    hidden = [Hidden(name, None, reason) for name, reason in reasons.items() if reason]
    for name, resource in shown.items():
        found = ((field.name, secret(field.column)) for field in resource.fields)
        hidden += [Hidden(name, field, reason) for field, reason in found if reason]
    return replace(
        reflected,
        resources={name: _shown(resource, shown) for name, resource in shown.items()},
        hidden=ordered((*reflected.hidden, *hidden)),
        behind={name: one for name, one in reflected.resources.items() if name not in shown},
    )


def _shown(resource: Resource, shown: Mapping[str, Resource]) -> Resource:
    return replace(
        resource,
        fields=tuple(field for field in resource.columns if not secret(field.column)),
        relationships=tuple(way for way in resource.ways if way.target in shown),
    )


def secret(column: str) -> str:
    """Why a column is hidden by default; empty when it is not."""
    return _reason(column, FIELDS)


def _reason(name: str, patterns: Mapping[str, str]) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+", "_", name).lower()
    return next((reason for pattern, reason in patterns.items() if re.fullmatch(pattern, words)), "")


def ordered(hidden: tuple[Hidden, ...]) -> tuple[Hidden, ...]:
    return tuple(sorted(set(hidden), key=lambda one: (one.resource, one.field or "", one.reason)))
