"""`outhaul openapi`: a dialect's calls, for tools that make clients, mocks or tests of them."""

from __future__ import annotations

import json
from typing import Annotated

import typer


def run(
    dialect: Annotated[
        str, typer.Argument(help="Whose calls: commercelayer, batch or rebilly.", show_default=False)
    ],
) -> None:
    """Print the OpenAPI 3.1 document of a dialect; a running service has that of commercelayer at /api/openapi.json."""
    from outhaul import dialects

    typer.echo(json.dumps(dialects.document(dialect), indent=2))
