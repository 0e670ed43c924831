"""What each row of a resource must meet for a caller: the conditions of tenant and scopes, and the fixed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from outhaul.catalog import Catalog, Relationship, Resource, Whose
from outhaul.errors import NotAllowed, WrongValue
from outhaul.export import Caller, Scope
from outhaul.filters import EVERYTHING, Condition, Exists, Hop, Test, either, every
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
        """The conditions of tenant and scopes, and the fixed ones; NotAllowed when the caller's tenant has none there,
        WrongValue when no scope of the caller's has."""
        if resource.name not in self.known:
            self.known[resource.name] = every(
                self._tenant(resource, where), self._scoped(resource), self._fixed(resource)
            )
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
        try:
            return self._owned(resource, rule, (tenant,))
        except WrongValue as error:
            message = f"No row of {resource.name} belongs to the tenant {tenant!r}. {error.message}"
            raise NotAllowed(message, where=where, wrong=tenant) from error

    def _scoped(self, resource: Resource) -> Condition:
        """Of each kind of scope that has a rule there, any that the caller has; one kind must have one."""
        told = [one for one in self.caller.scopes if one.kind in resource.scopes]
        if self.caller.scopes and not told:
            raise _unruled(resource, self.caller.scopes[0])
        kinds: dict[str, list[Condition]] = {}
        for one in told:
            rules = resource.scopes[one.kind]
            if rules and one.by not in rules:
                raise _unruled(resource, one)
            if rules:
                kinds.setdefault(one.kind, []).append(self._in_scope(resource, rules[one.by], one))
        return every(*(either(*conditions) for conditions in kinds.values()))

    def _in_scope(self, resource: Resource, rule: Whose, scope: Scope) -> Condition:
        try:
            return self._owned(resource, rule, scope.values)
        except WrongValue as error:
            message = f"No row of {resource.name} belongs to the {_said(scope)}. {error.message}"
            raise WrongValue(message, where=("scoped",), wrong=error.wrong) from error

    def _owned(self, resource: Resource, rule: Whose, owners: Sequence[str]) -> Condition:
        """The rows whose path ends at one of the owners; WrongValue for one that no row can have."""
        if rule.path:
            way = _way(resource, rule.path[0])
            there = self.catalog.resource(way.target)
            owned = self._owned(there, replace(rule, path=rule.path[1:]), owners)
            return Exists(Hop(there.schema, there.table, way.on), owned)
        column = next(one for one in resource.columns if one.column == rule.column)
        values = tuple(checked(column, one) for one in owners)
        op = "eq" if len(values) == 1 else "in"
        return Test(column.column, column.type, column.native, op, values, column.loose)

    def _fixed(self, resource: Resource) -> Condition:
        reader = Reader(self.catalog, lambda *_: EVERYTHING, owner=True)
        return reader.read(resource, resource.fixed, ("fixed",))


def _unruled(resource: Resource, scope: Scope) -> WrongValue:
    return WrongValue(
        f"{resource.name} has no rule for the {_said(scope)} of this token.",
        hint=f"Whoever runs the service can give it one: resources.{resource.name}.scopes.",
        where=("scoped",),
        wrong=resource.name,
    )


def _said(scope: Scope) -> str:
    return f"{scope.kind} {', '.join(scope.values)}" if scope.by == "id" else f"{scope.kind} {scope.by}"


def _way(resource: Resource, name: str) -> Relationship:
    return next(one for one in resource.ways if one.name == name)
