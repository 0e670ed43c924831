"""Core words to wire: tries to tell webhooks, as Commerce Layer's event callbacks; pure."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from outhaul.dialects.commercelayer import query, render
from outhaul.dialects.commercelayer.render import time
from outhaul.export import Lens
from outhaul.service import Callback

NOTHING: dict[str, Any] = {"reference": None, "reference_origin": None, "metadata": {}}
LENS = Lens(query.LISTS["event_callbacks"].filters, same=NOTHING)


def resource(one: Callback, setting: render.Setting, shape: query.Shape = render.WHOLE) -> dict[str, Any]:
    """The resource object. What was sent is not kept."""
    attributes = {
        "callback_url": one.url,
        "payload": None,
        "response_code": None if one.status is None else str(one.status),
        "response_message": one.why,
        "created_at": time(one.at),
        "updated_at": time(one.at),
        **NOTHING,
    }
    own = f"{setting.base}/event_callbacks/{quote(str(one.id), safe='')}"
    return {
        "id": str(one.id),
        "type": "event_callbacks",
        "links": {"self": own},
        "attributes": {
            name: value for name, value in attributes.items() if shape.shows("event_callbacks", name)
        },
        **render.related("event_callbacks", own, shape),
        "meta": render.meta(one.tenant, setting),
    }
