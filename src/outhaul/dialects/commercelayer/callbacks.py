"""Core words to wire: webhooks, and the tries to tell them, Commerce Layer's event callbacks; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from outhaul.dialects.commercelayer import query, render
from outhaul.dialects.commercelayer.render import time
from outhaul.export import Lens
from outhaul.service import Callback, Webhook

NOTHING: dict[str, Any] = {"reference": None, "reference_origin": None, "metadata": {}}
LENSES: Mapping[str, Lens] = {
    "webhooks": Lens(query.LISTS["webhooks"].filters, render.EVENTS),
    "event_callbacks": Lens(query.LISTS["event_callbacks"].filters, same=NOTHING),
}


def callback(one: Callback, setting: render.Setting, shape: query.Shape = render.WHOLE) -> dict[str, Any]:
    """The resource object."""
    attributes = {
        "callback_url": one.url,
        "payload": None if one.payload is None else json.loads(one.payload),
        "response_code": None if one.status is None else str(one.status),
        "response_message": one.why,
        "created_at": time(one.at),
        "updated_at": time(one.at),
        **NOTHING,
    }
    own = f"{setting.base}/event_callbacks/{quote(one.public, safe='')}"
    return {
        "id": one.public,
        "type": "event_callbacks",
        "links": {"self": own},
        "attributes": {
            name: value for name, value in attributes.items() if shape.shows("event_callbacks", name)
        },
        **render.related("event_callbacks", own, shape),
        "meta": render.meta(one.tenant, setting),
    }


def webhook(
    one: Webhook, setting: render.Setting, shape: query.Shape = render.WHOLE, secret: str | None = None
) -> dict[str, Any]:
    """The resource object; the secret is known at creation alone."""
    attributes = {
        "name": one.name,
        "topic": render.EVENTS[one.event],
        "callback_url": one.url,
        "include_resources": list(one.include),
        "disabled_at": time(one.disabled_at),
        "circuit_state": "closed" if one.opened_at is None else "open",
        "circuit_failure_count": one.failures,
        "shared_secret": secret,
        "created_at": time(one.created_at),
        "updated_at": time(one.updated_at),
        "reference": one.reference,
        "reference_origin": one.reference_origin,
        "metadata": dict(one.metadata),
    }
    own = f"{setting.base}/webhooks/{quote(one.id, safe='')}"
    return {
        "id": one.id,
        "type": "webhooks",
        "links": {"self": own},
        "attributes": {name: value for name, value in attributes.items() if shape.shows("webhooks", name)},
        **render.related("webhooks", own, shape),
        "meta": render.meta(one.tenant, setting),
    }
