"""Django: models, `iterator`, `select_related` and `prefetch_related`: `python -m bench.peers.orm ROW`."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from bench.tpch import COLUMNS
from bench.works import NESTED, WORKS, Work

FLAT_ROWS, NESTED_ROWS = (
    10_000,
    2_000,
)  # as one sets them for millions of rows, and Django's own for prefetching
FIELDS = {"bigint": models.BigIntegerField, "{key}": models.BigIntegerField, "integer": models.IntegerField}
FIELDS |= {"date": models.DateField, "varchar": models.TextField, "char": models.TextField}


def main(work: Work) -> None:
    url = urlsplit(os.environ["URL"])
    place = {"HOST": url.hostname, "PORT": url.port, "USER": url.username, "NAME": url.path[1:]}
    settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **place}})
    django.setup()
    customer = model("customer", c_custkey=models.BigIntegerField(primary_key=True))
    order = model(
        "orders",
        o_orderkey=models.BigIntegerField(primary_key=True),
        o_custkey=related(customer, "o_custkey", "+"),
    )
    # The key of two columns is declared as one: nothing here looks a line up by it.
    lineitem = model(
        "lineitem",
        l_orderkey=related(order, "l_orderkey", "lineitems"),
        l_linenumber=models.IntegerField(primary_key=True),
    )
    with Path(os.environ["OUT"], f"{work.resource}.{work.suffix}").open("w", newline="") as file:
        if work.format == "csv":
            writer = csv.writer(file)
            writer.writerow(COLUMNS["lineitem"])
            writer.writerows(flat(lineitem))
        else:
            columns = list(COLUMNS["lineitem"])
            found = (
                nested(order)
                if work.rows == NESTED
                else (dict(zip(columns, row, strict=True)) for row in flat(lineitem))
            )
            file.writelines(json.dumps(one, cls=DjangoJSONEncoder) + "\n" for one in found)


def model(table: str, **given: Any) -> Any:
    """A model over a table as it is: `given` are the fields of its keys."""
    fields = {name: field(kind) for name, kind in COLUMNS[table].items()} | given
    meta = type("Meta", (), {"app_label": "bench", "db_table": table, "managed": False})
    return type(table, (models.Model,), fields | {"__module__": __name__, "Meta": meta})


def field(kind: str) -> models.Field:
    if kind.startswith("numeric"):
        return models.DecimalField(max_digits=15, decimal_places=2)
    return FIELDS[kind.partition("(")[0]]()


def related(to: Any, column: str, name: str) -> models.Field:
    return models.ForeignKey(to, models.DO_NOTHING, db_column=column, related_name=name)


def flat(lineitem: Any) -> Iterator[tuple[Any, ...]]:
    names = [one.attname for one in attributes(lineitem)]
    yield from lineitem.objects.values_list(*names).iterator(chunk_size=FLAT_ROWS)


def nested(order: Any) -> Iterator[dict[str, Any]]:
    orders = order.objects.select_related("o_custkey").prefetch_related("lineitems")
    for one in orders.iterator(chunk_size=NESTED_ROWS):
        lines = [shown(line) for line in one.lineitems.all()]
        yield shown(one) | {"customer": shown(one.o_custkey), "lineitems": lines}


def shown(instance: Any) -> dict[str, Any]:
    return {one.column: getattr(instance, one.attname) for one in attributes(instance)}


def attributes(of: Any) -> list[models.Field]:
    """The fields in the order of the table."""
    by_column = {one.column: one for one in of._meta.concrete_fields}  # noqa: SLF001  # Django's documented way
    return [by_column[name] for name in COLUMNS[of._meta.db_table]]  # noqa: SLF001  # as above


if __name__ == "__main__":
    main(WORKS[sys.argv[1]])
