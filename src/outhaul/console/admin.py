"""What whoever runs the service sees: health, the queue, tenants and limits; and where the other pages of it are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from outhaul.ceilings import UNLIMITED
from outhaul.console.admin_audit import Log
from outhaul.console.admin_tokens import Keys
from outhaul.console.admin_webhooks import Hooks
from outhaul.console.pages import Visit, numbered, page, rendered
from outhaul.operating import Operating

Seen = Callable[[Request, Visit], Response]
TENANTS = 50  # of a page


@dataclass(frozen=True, slots=True)
class Admin:
    """Its pages and forms. Whoever is no admin is refused by `operating`; webhooks are those of the own tenant, and the
    service says who may see them."""

    operating: Operating
    keys: Keys
    log: Log
    hooks: Hooks

    @property
    def pages(self) -> Mapping[str, Seen]:
        """By their addresses."""
        return {
            "/admin": self.health,
            "/admin/queue": self.queue,
            "/admin/tokens": self.keys.list,
            "/admin/tokens/new": self.keys.ask,
            "/admin/tokens/{token_id}": self.keys.sure,
            "/admin/tenants": self.tenants,
            "/admin/limits": self.limits,
            "/admin/audit": self.log.show,
            "/webhooks": self.hooks.list,
            "/webhooks/{webhook_id}": self.hooks.show,
            "/webhooks/{webhook_id}/delete": self.hooks.sure,
        }

    @property
    def forms(self) -> Mapping[str, Seen]:
        """By their addresses, which take POST alone."""
        return {
            "/admin/tokens": self.keys.make,
            "/admin/tokens/{token_id}/revoke": self.keys.revoke,
            "/webhooks/{webhook_id}/{move}": self.hooks.move,
        }

    def health(self, _: Request, seen: Visit) -> Response:
        return page("admin.html", seen, signs=self.operating.health(seen.who))

    def queue(self, _: Request, seen: Visit) -> Response:
        return page("admin-queue.html", seen, queue=self.operating.queue(seen.who))

    def fragment(self, seen: Visit) -> str:
        """What the page of the queue shows now."""
        return rendered("_admin-queue.html", seen, queue=self.operating.queue(seen.who))

    def tenants(self, request: Request, seen: Visit) -> Response:
        number = numbered(request.query_params.get("page", ""))
        found, total = self.operating.tenants(seen.who, TENANTS, (number - 1) * TENANTS)
        places = {name: f"{seen.root}/admin/audit?{urlencode({'tenant': name})}" for name in found}
        return page(
            "admin-tenants.html",
            seen,
            tenants=found,
            places=places,
            total=total,
            number=number,
            pages=max(1, -(-total // TENANTS)),
        )

    def limits(self, _: Request, seen: Visit) -> Response:
        resources = self.keys.exports.catalog.resources.values()
        bounded = [one for one in resources if one.ceiling != UNLIMITED]
        return page("admin-limits.html", seen, limits=self.operating.limits(seen.who), resources=bounded)
