"""The tongues we speak: one sibling per wire contract.

Each sibling has
    PREFIX: str                                        where it lives under the public address: "/api"; or
    PLACES: re.Pattern                                 which paths it answers, each matched from end to end; where several
                                                       dialects match, the first by name is asked
    SETTINGS: tuple[str, ...]                          names of the settings that it alone is given
    build(exports, access, *, max_body, **settings)    an ASGI app with its own routes, media types and errors;
                                                       `max_body` in bytes
    openapi_part()                                     its calls as OpenAPI 3.1 has them: `paths`, PREFIX included,
                                                       `webhooks`, and the `components` that they refer to
    TITLE, ABOUT: str; BESIDE: tuple[str, ...]         only where it has a document of its own: what that says of itself,
                                                       and the dialects whose calls are in it too
    check(catalog) -> tuple[str, ...]                  only where the catalog file has a section for it, which is in
                                                       `catalog.sections` under its name: what is missing or wrong
                                                       there, in words
    again(export, base, sections)                      only where it can tell how an export that was asked for by it is
                                                       asked for once more: a line of curl; `sections` of the catalog
    letter(exports, base, message)                     only where there are webhooks: (body, headers) of a
                                                       POST to one, signed; `base` as below
The app that mounts it puts into each request's scope
    "outhaul.base": str     the address under which the caller reached us, without a slash at its end
    "outhaul.trace": str    64 hexadecimal digits that name this request in answers and in the log
    "outhaul.client": str   the address that the caller asks from
    "outhaul.audit": dict   what the audit log tells of this request besides; the dialect adds caller and tenant
A dialect knows the service, access and the nouns, and nothing behind them; parse and render are pure.
"""

from outhaul.dialects._audited import Audited
from outhaul.dialects._bodies import each_once
from outhaul.dialects._described import described, document
from outhaul.dialects._keys import WELL_KNOWN, keys
from outhaul.dialects._limited import Limited
from outhaul.dialects._links import links
from outhaul.dialects._placed import placed
from outhaul.turns import in_turn, waiting

__all__ = [
    "WELL_KNOWN",
    "Audited",
    "Limited",
    "described",
    "document",
    "each_once",
    "in_turn",
    "keys",
    "links",
    "placed",
    "waiting",
]
