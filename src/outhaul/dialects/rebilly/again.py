"""The call that asks for the same export once more, to be typed: as curl; pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from outhaul.export import Export


def again(
    export: Export,
    base: str,
    sections: Mapping[str, Mapping[str, Any]],  # noqa: ARG001  # an organization is its tenant, whatever they say
) -> str:
    """Of an export that was asked for by us. The key is taken from the environment."""
    place = f"{base}/organizations/{quote(export.tenant or '', safe='')}/organization-exports"
    body = json.dumps({"includeFiles": export.draft["wire"]["includeFiles"]})
    return (
        f'curl {shlex.quote(place)} -H "REB-APIKEY: $TOKEN" '
        f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
    )
