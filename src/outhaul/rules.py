"""What each row of a resource must meet for a caller: the tenant's condition and the fixed ones, or a refusal."""

from __future__ import annotations

from outhaul.catalog import Catalog, Relationship, Resource
from outhaul.errors import NotAllowed, WrongValue
from outhaul.export import Caller
from outhaul.filters import EVERYTHING, Condition, Exists, Hop, Test, every
from outhaul.predicates import Reader
from outhaul.values import Where, checked


class Rules:
    """The rules of one catalog for one caller. They are the owner's: hidden columns and resources serve them."""

    def __init__(self, catalog: Catalog, caller: Caller) -> None:
        self.catalog = catalog
        self.caller = caller
        self.known: dict[str, Condition] = {}

    def allowed(self, resource: Resource, where: Where) -> Condition:
        """As `due`, for a resource that the caller has named; NotAllowed when it is not among the caller's."""
        if self.caller.resources and resource.name not in self.caller.resources:
            raise NotAllowed(
                f"This token may not read {resource.name}.",
                hint=f"It may read: {', '.join(self.caller.resources)}.",
                where=where,
                wrong=resource.name,
                choices=self.caller.resources,
            )
        return self.due(resource, where)

    def due(self, resource: Resource, where: Where) -> Condition:
        """The tenant's and the fixed conditions; NotAllowed when the caller's tenant has none there."""
        if resource.name not in self.known:
            self.known[resource.name] = every(self._tenant(resource, where), self._fixed(resource))
        return self.known[resource.name]

    def _tenant(self, resource: Resource, where: Where) -> Condition:
        tenant, rule = self.caller.tenant, resource.tenant
        if tenant is None and self.caller.all_tenants:
            return EVERYTHING
        if tenant is None or rule is None:
            raise NotAllowed(
                f"{resource.name} has no tenant rule, so a token of one tenant may not read it.",
                hint=f"Give it one in the catalog file: resources.{resource.name}.tenant.",
                where=where,
                wrong=resource.name,
            )
        return self._owned(resource, rule.path, rule.column, tenant, where)

    def _owned(
        self, resource: Resource, path: tuple[str, ...], name: str, tenant: str, where: Where
    ) -> Condition:
        if path:
            way = _way(resource, path[0])
            there = self.catalog.resource(way.target)
            owned = self._owned(there, path[1:], name, tenant, where)
            return Exists(Hop(there.schema, there.table, way.on), owned)
        column = next(one for one in resource.columns if one.column == name)
        try:
            value = checked(column, tenant)
        except WrongValue as error:
            message = f"No row of {resource.name} belongs to the tenant {tenant!r}. {error.message}"
            raise NotAllowed(message, where=where, wrong=tenant) from error
        return Test(column.column, column.type, column.native, "eq", (value,), column.loose)

    def _fixed(self, resource: Resource) -> Condition:
        reader = Reader(self.catalog, lambda *_: EVERYTHING, owner=True)
        return reader.read(resource, resource.fixed, ("fixed",))


def _way(resource: Resource, name: str) -> Relationship:
    return next(one for one in resource.ways if one.name == name)
