"""The OpenAPI document of Batch's calls: valid, whole, of the shapes of the contract, and explored by a stranger."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import openapi_spec_validator
import pytest

from outhaul.dialects.batch import errors, routes
from outhaul.errors import OuthaulError
from tests import documented
from tests.batches import Source, asleep

WIRE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).with_name("st")
SEED = json.loads((WIRE / "batch.schema.json").read_text())["$defs"]


def schemas() -> dict[str, Any]:
    found: dict[str, Any] = documented.document("batch")["components"]["schemas"]
    return found


def own() -> dict[str, Any]:
    """The calls without those that all documents have."""
    paths = documented.document("batch")["paths"]
    return {path: calls for path, calls in paths.items() if path.startswith("/{version}/")}


def test_the_document_is_one_of_openapi() -> None:
    openapi_spec_validator.validate(documented.document("batch"))


def test_every_call_is_documented_and_answers_at_its_place() -> None:
    assert {(method, path) for path, calls in own().items() for method in calls} == {
        ("post", "/{version}/profiles/export"),
        ("post", "/{version}/exports/create"),
        ("get", "/{version}/exports/view"),
        ("get", "/{version}/exports/list"),
        ("get", "/{version}/exports/download"),
    }
    assert all(routes.PLACES.fullmatch(path.format(version="2.11")) for path in own())


def test_every_call_has_the_failures_of_the_contract() -> None:
    for path, calls in own().items():
        (call,) = calls.values()
        missing = {"404"} if path.endswith(("view", "download")) else set()
        refused = {status for status in call["responses"] if status >= "400"}
        assert refused == {"400", "401", "429", "500", "503"} | missing


@pytest.mark.parametrize("kind", list(errors.WORDS), ids=lambda kind: str(kind.__name__))
def test_every_error_is_said_as_its_schema_tells(kind: type[OuthaulError]) -> None:
    status, body = errors.answer(kind("What went wrong.", facts={"wait": 1}), "trace")
    if status != 405:
        documented.validator(f"#/components/schemas/Error{status}", "batch").validate(body)


def test_the_reply_of_the_contract_is_as_its_schema_tells() -> None:
    shown = json.loads((WIRE / "batch" / "view_success.json").read_text())
    documented.validator("#/components/schemas/ExportRequest", "batch").validate(shown)
    documented.validator("#/components/schemas/NewExport", "batch").validate(shown["request"])


def test_every_example_is_as_its_schema_tells() -> None:
    checked = 0
    for calls in own().values():
        for call in calls.values():
            answers = [documented.resolved(one, "batch") for one in call["responses"].values()]
            for said in (call.get("requestBody", {}), *answers):
                for content in said.get("content", {}).values():
                    if "example" in content:
                        documented.validator(content["schema"]["$ref"], "batch").validate(content["example"])
                        checked += 1
    assert checked == 6


def test_it_knows_what_the_fragment_of_the_vendor_knows() -> None:
    assert set(SEED["request"]["anyOf"][0]["properties"]) < set(schemas()["ExportRequest"]["properties"])
    assert set(SEED["file"]["properties"]) == set(schemas()["ExportFile"]["properties"])
    for ours, theirs in (
        ("NewAttributesExport", "ExportAttributeRequest"),
        ("NewEventsExport", "ExportEventRequest"),
    ):
        assert set(schemas()[ours]["properties"]) == set(SEED[theirs]["properties"])
    assert schemas()["ExportRequest"]["properties"]["status"]["enum"] == sorted(SEED["status"]["enum"])


CONFIG = """
request-timeout = 60
suppress-health-check = ["all"]
[headers]
Authorization = "Bearer {token}"
X-Batch-Project = "project_acme"
[generation]
database = "none"
[checks]
# What a schema cannot tell is refused in words: an attribute that is not offered, a time too long ago.
positive_data_acceptance.enabled = false
# The headers that sign in are always sent, and a wrong value can look right once it is written into a query.
negative_data_rejection.enabled = false
missing_required_header.enabled = false
ignored_auth.enabled = false

"""


@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_a_stranger_finds_no_failure_and_no_undocumented_answer(tmp_path: Path) -> None:
    source = Source(f"sqlite:///{tmp_path}/company.db")
    source.fill()
    shown = json.loads(json.dumps(documented.document("batch")))
    shown["paths"] = {path.replace("{version}", "2.11"): calls for path, calls in own().items()}
    for calls in shown["paths"].values():
        for call in calls.values():  # another version is another address, and so is 404
            call["parameters"] = [one for one in call["parameters"] if not one["$ref"].endswith("/Version")]
    names = {"enum": ["$email_address", "firstname", "age", "$city"]}
    shown["components"]["schemas"]["NewAttributesExport"]["properties"]["attributes"]["items"] = names
    (tmp_path / "document.json").write_text(json.dumps(shown))
    with asleep(source.url, tmp_path, "state") as (_, key):
        (tmp_path / "schemathesis.toml").write_text(CONFIG.format(token=key.token))
        argv = [
            *(str(SCHEMATHESIS), "--no-color", "--config-file", "schemathesis.toml", "run", "document.json"),
            *("--url", str(key.client.base_url), "--phases", "examples,coverage,fuzzing"),
            *("--max-examples", "50", "--seed", "1"),
        ]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
