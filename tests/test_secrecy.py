"""What tenants read of a failure: what to do, and nothing of the operator's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest

from outhaul import errors as core
from outhaul.dialects._links import _refusal
from outhaul.dialects.commercelayer import errors, render
from outhaul.export import Draft, Export, Selection, Status

SECRET = 'permission denied for table part_globex at "10.0.0.7" in /srv/objects'
TELLING = [
    *(core.SourceError, core.SourceAway, core.SourceBusy, core.SourceForbids, core.SchemaChanged),
    *(core.SnapshotLost, core.StoreError, core.StoreFull, core.Unproven, core.Misconfigured),
]
HARMLESS = [core.SourceTimeout, core.UnreadableValue, core.WorkerLost, core.OuthaulError, core.NotAllowed]


def failed(error: core.OuthaulError) -> Export:
    now = datetime.now(UTC)
    draft: Mapping[str, Any] = asdict(Draft((Selection("orders"),)))
    return Export(
        "AbCdEfGhIj", "acme", "me", "", Status.FAILED, draft, 1, 0, 1, 0, now, now, errors=(error.as_data(),)
    )


def log_of(error: core.OuthaulError, *, openly: bool) -> str:
    setting = render.Setting("https://a/api", "trace", openly)
    shown = render.resource(failed(error), render.Links(), setting)["attributes"]["errors_log"]
    return str(shown[type(error).__name__])


@pytest.mark.parametrize("kind", TELLING)
def test_a_tenant_reads_a_sentence_and_the_exports_id_instead_of_names(kind: type[core.OuthaulError]) -> None:
    shown = log_of(kind(SECRET, hint="GRANT SELECT ON part_globex TO guest"), openly=False)
    assert "globex" not in shown
    assert "AbCdEfGhIj" in shown


@pytest.mark.parametrize("kind", [*TELLING, *HARMLESS])
def test_a_token_of_all_tenants_reads_everything(kind: type[core.OuthaulError]) -> None:
    assert log_of(kind(SECRET, hint="GRANT it."), openly=True) == f"{SECRET} GRANT it."


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_names_nothing_is_told_to_everybody(kind: type[core.OuthaulError]) -> None:
    assert log_of(kind("Ask for less."), openly=False) == "Ask for less."


@pytest.mark.parametrize(
    "kind", [one for one in TELLING if issubclass(one, core.SourceError | core.StoreError)]
)
def test_an_answer_names_the_request_and_not_the_host(kind: type[core.OuthaulError]) -> None:
    status, document = errors.document(kind(SECRET, hint="GRANT it."), "trace-1")
    assert status == 503
    assert "globex" not in str(document)
    assert "trace-1" in document["errors"][0]["detail"]
    assert "globex" in str(errors.document(kind(SECRET), "trace-1", openly=True))


def test_a_link_tells_no_path_of_the_store() -> None:
    answer = _refusal(core.StoreError(SECRET))
    assert (answer.status_code, b"srv" in answer.body) == (503, False)
    assert b"no such file" in _refusal(core.NotFound("There is no such file.")).body
