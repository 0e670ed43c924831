"""The call that asks for the same export once more, to be typed: as curl; pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from outhaul.dialects.batch.mapping import DIALECT
from outhaul.export import Export

VERSION = "2.11"


def again(export: Export, base: str, sections: Mapping[str, Mapping[str, Any]]) -> str:
    """Of an export that was asked for by us. The key is taken from the environment."""
    projects: Mapping[str, str] = sections.get(DIALECT, {}).get("projects", {})
    own = export.tenant or ""
    project = next((name for name, tenant in projects.items() if tenant == own), own)
    body = json.dumps(export.draft["wire"], ensure_ascii=False)
    return (
        f'curl {shlex.quote(f"{base}/{VERSION}/exports/create")} -H "Authorization: Bearer $TOKEN" '
        f"-H {shlex.quote(f'X-Batch-Project: {project}')} -H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )
