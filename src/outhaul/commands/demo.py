"""`outhaul demo`: the main job on real data, proven by a reader of its own."""

from __future__ import annotations

import typer

from outhaul.commands import _options as options


def run(source: options.Source = None) -> None:
    """Export a year of a grocer's purchases, or your own database, over HTTP and prove the files."""
    from outhaul import demo

    raise typer.Exit(demo.run(source))
