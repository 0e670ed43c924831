"""The link by which somebody signs in at the console, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outhaul import config
from outhaul.config import Settings

if TYPE_CHECKING:
    from outhaul.access import Access

PLACE = "/console/enter?code="


def link(
    access: Access,
    settings: Settings,
    address: str,
    *,
    tenant: str | None = None,
    all_tenants: bool = False,
    resources: tuple[str, ...] = (),
    read_only: bool = False,
) -> str:
    """An absolute one. `address`: of the service; the rest is what whoever follows it may do."""
    from outhaul.sessions import Sessions

    sessions = Sessions(access, config.secret_keys(settings.state))
    code = sessions.invite(tenant=tenant, all_tenants=all_tenants, resources=resources, read_only=read_only)
    return f"{address.rstrip('/')}{PLACE}{code}"
