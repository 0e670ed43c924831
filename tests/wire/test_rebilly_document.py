"""The OpenAPI document of Rebilly's calls: valid, whole, true to the contract, and all that the service answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import openapi_spec_validator
import pytest

from outhaul import dialects
from outhaul.dialects.rebilly import errors
from outhaul.dialects.rebilly.routes import SHOWN
from tests.documented import document, operations, validator
from tests.organizations import Organization, place_of
from tests.served import of_shop, served
from tests.wire.test_rebilly import EXPORT, PENDING, SETTING, golden

SCHEMATHESIS = Path(sys.executable).with_name("st")
NAME = "rebilly"


def known(body: Any, schema: str) -> None:
    validator(f"#/components/schemas/{schema}", NAME).validate(body)


def test_the_document_is_one_of_openapi() -> None:
    assert NAME in dialects.described()
    openapi_spec_validator.validate(document(NAME))


def test_it_names_every_call_once_and_no_others() -> None:
    calls = {
        (method.lower(), before + path)
        for path, methods in SHOWN.items()
        for method in methods
        for before in ("", "/organizations/{organization}")
    }
    beside = {one for one in operations(NAME) if one[1].startswith(("/files/{link}", "/.well-known"))}
    assert set(operations(NAME)) - beside == calls
    names = [call["operationId"] for call in operations(NAME).values()]
    assert len(set(names)) == len(names)


def test_every_call_is_signed_in_by_a_key_or_a_token() -> None:
    for (_, path), call in operations(NAME).items():
        if "organization" in path or path.startswith("/files/{id}"):
            assert call["security"] == [{"SecretApiKey": []}, {"JWT": []}]
    schemes = document(NAME)["components"]["securitySchemes"]
    assert (schemes["SecretApiKey"]["name"], schemes["JWT"]["scheme"]) == ("REB-APIKEY", "bearer")


def test_replies_of_the_contract_are_as_their_schemas_tell() -> None:
    for name in ("completed", "pending"):
        known(golden(name), "OrganizationExport")
    for body in golden("problems").values():
        known(body, f"Problem{body['status']}")
    wrong = golden("pending") | {"status": "running"}
    with pytest.raises(jsonschema_rs.ValidationError):
        known(wrong, "OrganizationExport")
    assert PENDING.id == EXPORT.id
    assert SETTING.counts == (3, 0)


def test_every_status_of_a_problem_is_documented() -> None:
    answered = {int(status) for call in operations(NAME).values() for status in call["responses"]}
    assert {status for status, _ in errors.WORDS.values()} - answered == {405}, "which is of no call"


@pytest.fixture
def organization(tmp_path: Path) -> Iterator[Organization]:
    with of_shop(place_of(tmp_path), window=1000) as outhaul, served(outhaul) as client:
        yield Organization(outhaul, client)


def explored(organization: Organization, place: Path, *more: str) -> None:
    """Schemathesis asks for all that the document tells of, and much that it does not."""
    shown: dict[str, Any] = json.loads(json.dumps(document(NAME)))
    # Below the address of the service itself, whatever is no id of ours is a link that nobody has signed.
    shown["paths"] = {path: item for path, item in shown["paths"].items() if not path.startswith("/files/")}
    parameters = shown["components"]["parameters"]
    parameters["Organization"]["schema"] = {"enum": ["1"]}
    done = organization.finished()
    parameters["ExportId"]["example"], parameters["FileId"]["example"] = done["id"], done["fileId"]
    (place / "document.json").write_text(json.dumps(shown))
    (place / "schemathesis.toml").write_text(
        f"""
        request-timeout = 60
        suppress-health-check = ["all"]
        [headers]
        REB-APIKEY = "{organization.key}"
        [generation]
        database = "none"
        [checks]
        # What a schema cannot tell is refused in words: a filter by a field that there is none of.
        positive_data_acceptance.enabled = false
        negative_data_rejection.enabled = false
        # The key is in a header for all calls.
        ignored_auth.enabled = false
        """
    )
    argv = [
        *(str(SCHEMATHESIS), "--no-color", "--config-file", "schemathesis.toml", "run", "document.json"),
        *("--url", str(organization.client.base_url), "--phases", "examples,coverage,fuzzing", *more),
    ]
    ran = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=False)
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout[-20_000:] + ran.stderr


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_a_stranger_finds_no_failure_and_no_undocumented_answer(
    organization: Organization, tmp_path: Path
) -> None:
    explored(organization, tmp_path, "--max-examples", "20", "--seed", "1")
