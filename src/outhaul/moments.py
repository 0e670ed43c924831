"""The instant of an export as a bound: known once it has been taken, in conditions a word until then."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from outhaul.catalog import Catalog, Field, Resource, Type
from outhaul.conditions import EVERYTHING, Condition, Test, mapped
from outhaul.errors import WrongValue
from outhaul.values import Where, checked
from outhaul.wishes import way_to

OWN = "instant"  # which no checked moment reads like


def until(catalog: Catalog, resource: Resource, name: str, where: Where) -> Condition:
    """The rows whose own field of this name is not after the instant; UnknownField, WrongValue."""
    if not name:
        return EVERYTHING
    walk, field = way_to(catalog, resource, name, where)
    if walk or field.type not in {Type.INSTANT, Type.TIMESTAMP}:
        raise WrongValue(f"{resource.name}.{name} holds no moment of its rows.", where=where, wrong=name)
    return Test(field.column, field.type, field.native, "lteq", (OWN,), field.loose)


def at(condition: Condition, moment: datetime) -> Condition:
    """The condition as it is when the instant has been taken."""

    def said(test: Test) -> Test:
        if test.op != "lteq" or test.values != (OWN,) or test.type not in {Type.INSTANT, Type.TIMESTAMP}:
            return test
        field = Field("", "", test.type, test.native)
        return replace(test, values=(checked(field, moment.astimezone(UTC).isoformat()),))

    return mapped(condition, said)
