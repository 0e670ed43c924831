"""`outhaul sandbox`: a made-up shop, served with credentials that are printed, until it is told to stop."""

from __future__ import annotations

import json as notation
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from outhaul import config
from outhaul.commands import _options as options
from outhaul.errors import Misconfigured

if TYPE_CHECKING:
    from outhaul.access import Access

WORKERS = 4  # exports are slowed down here, which costs nothing: several can be watched at once
AHEAD = 1
SMALLEST, LARGEST = 0.01, 100.0  # of scales: 100 is 150,000 orders, and about a minute until they are there
# The official SDK asks where the issuer of its token is.
ISSUER = "https://auth.commercelayer.io"
# What Commerce Layer documents for exports in live mode, which the tokens name, and Batch.
DOCUMENTED = {
    "rate_average": "200/1m",
    "rate_burst": "50/10s",
    "rate_tokens": "30/1m",
    "batch_limits": True,
}


def run(
    scale: Annotated[float, typer.Option(metavar="N", help="How large the shop is.")] = 1.0,
    seed: Annotated[
        str, typer.Option(metavar="TEXT", help="The same seed: the same rows, ids and secrets.")
    ] = "1",
    rows_per_second: Annotated[
        int, typer.Option(metavar="N", min=1, help="How fast an export runs, so that it can be watched.")
    ] = 1500,
    rate_limits: Annotated[
        Literal["documented", "off"],
        typer.Option(help="The documented limits of Commerce Layer and Batch, or none."),
    ] = "off",
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Listen on this address of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Listen on this port; 0: any.")] = 8350,
    json: Annotated[bool, typer.Option("--json", help="Print all as one line of JSON.")] = False,
) -> None:
    """Serve a made-up shop to try clients against, until it is told to stop."""
    from outhaul import app
    from outhaul.sandbox import batch, offer, rebilly, shop
    from outhaul.sandbox.credentials import HOME, OTHER, credentials

    if not config.loopback(host):
        raise Misconfigured(
            f"A sandbox does not listen on {host}: everybody can know its secrets.",
            hint="It is for this machine alone: 127.0.0.1, ::1 or localhost.",
        )
    if not SMALLEST <= scale <= LARGEST:
        raise Misconfigured(
            f"A shop cannot be {scale:g} times as large.",
            hint=f"--scale takes a number from {SMALLEST:g} to {LARGEST:g}.",
        )
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, app.end)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not below nohup
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))

    def opened(access: Access, address: str) -> None:
        told: dict[str, dict[str, Any]] = {
            "commercelayer": credentials(access, seed),
            "batch": batch.credentials(access, seed, (HOME, OTHER), folder / "shop.db"),
            "rebilly": rebilly.credentials(access, seed),
        }
        typer.echo(_said(address, told, as_json=json))

    with tempfile.TemporaryDirectory(prefix="outhaul-sandbox-") as made:
        folder = Path(made)
        shop.make(folder / "shop.db", seed, scale)
        rebilly.make(folder / "shop.db", seed)
        texts = (offer.catalog(), batch.catalog(seed, (HOME, OTHER)), rebilly.catalog())
        (folder / "catalog.toml").write_text("\n".join(texts))
        settings = config.alone(
            {
                "source": f"sqlite:///{folder}/shop.db",
                "catalog": folder / "catalog.toml",
                "state": folder / "state",
                "host": host,
                "port": port,
                "token_issuer": ISSUER,
                "workers": WORKERS,
                "min_free": 0,
                "webhook_networks": ("127.0.0.0/8", "::1/128"),  # where receivers are tried
                **(DOCUMENTED if rate_limits == "documented" else {}),
            }
        )
        app.serve(settings, options.people.print, opened, ahead=AHEAD, rows_per_second=rows_per_second)


def _said(address: str, told: dict[str, dict[str, Any]], *, as_json: bool) -> str:
    """Where it is and who may ask: one line of JSON, or for people a line for each."""
    places = {"base_url": address, "console_url": f"{address}/console/"}
    if as_json:
        return notation.dumps({**places, **told})
    lines = {**places, **told["commercelayer"]}
    for dialect in ("batch", "rebilly"):
        lines |= {f"{dialect}_{name}": value for name, value in told[dialect].items()}
    return "\n".join(f"{name}={value}" for name, value in lines.items())
