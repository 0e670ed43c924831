"""The keeper: a process that holds the instants of PostgreSQL exports, with a connection for each.

`python -m outhaul.snapshots`; it imports neither formats nor Arrow, so that it stays small beside the workers."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

from outhaul.errors import NotFound, SnapshotLost, SourceAway, SourceError, SourceForbids
from outhaul.export import Status
from outhaul.ledger import AWAY, Ledger, Snapshot, Terms, label

POLL = 0.1  # seconds between two looks into the ledger: how long an export waits for its instant
CONNECT = 15  # seconds until a source that does not answer counts as away
STRAGGLE = 3.0  # seconds that other sessions of an export may outlive its instant

log = logging.getLogger("outhaul.keeper")

# The transaction must live as long as the export needs it, whatever the role's defaults are; older servers know fewer.
OPENING = (
    """
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN (
      'idle_in_transaction_session_timeout', 'idle_session_timeout', 'statement_timeout', 'transaction_timeout')
    """,
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
)
STRAGGLERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE usename = current_user AND datname = current_database() AND pid <> pg_backend_pid()
      AND application_name = 'outhaul ' || %s
"""


@dataclass(frozen=True, slots=True)
class _Held:
    """A transaction under which the instant of one generation lives."""

    snapshot: Snapshot
    connection: psycopg.Connection[tuple[Any, ...]]


class Keeper:
    """Meets wishes for instants, keeps them alive under a lease, and ends what is no longer asked for."""

    def __init__(self, ledger: Ledger, source: str, name: str) -> None:
        self._ledger = ledger
        self._source = source
        self._name = name
        self._held: dict[str, _Held] = {}
        self._beat_at = 0.0
        self._stragglers: list[tuple[float, Snapshot]] = []

    def turn(self) -> None:
        """One look into the ledger, and what follows from it."""
        kept = self._ledger.holds(self._name)
        self._drop(export for export in self._held if export not in kept)
        if time.monotonic() >= self._beat_at:
            self._beat_at = time.monotonic() + self._ledger.terms.lease.total_seconds() / 4
            self._look(tuple(self._held.values()))
            self._renew()
        else:
            self._look(_heard(self._held.values()))
        for wish in self._ledger.wanted():
            if not self._meet(wish):
                break  # a source that hangs must not keep us from beating
        self._end_stragglers()

    def _look(self, among: Iterable[_Held]) -> None:
        """Drop those that have broken. To find that out may take long, so all others are renewed after each."""
        for held in among:
            if not self._lives(held):
                self._drop([held.snapshot.export])
                self._renew()

    def _renew(self) -> None:
        kept = self._ledger.beat_holds(self._name, list(self._held))
        self._drop(export for export in self._held if export not in kept)

    def close(self) -> None:
        """Leave in order: the instants are lost, which is no fault of their exports."""
        for held in self._held.values():
            with contextlib.suppress(*AWAY):
                self._ledger.lost(held.snapshot.export, held.snapshot.generation)
        self._drop(self._held)

    def _meet(self, wish: Snapshot) -> bool:
        """Take the instant; whether the source gave it."""
        try:
            connection = self._open(wish.export)
            row = connection.execute("SELECT pg_export_snapshot(), clock_timestamp()").fetchone()
        except psycopg.Error as error:
            log.warning("no instant for export %s: %s", wish.export, type(error).__name__)
            self._ledger.lost(wish.export, wish.generation, _said(error).as_data())
            return False
        assert row
        if self._ledger.hold(wish.ref, self._name, str(row[0]), row[1]):
            self._held[wish.export] = _Held(wish, connection)
        else:
            connection.close()
        return True

    def _open(self, export: str) -> psycopg.Connection[tuple[Any, ...]]:
        # A connection that a firewall has forgotten is found dead within a minute, idle or not.
        connection = psycopg.connect(
            self._source,
            autocommit=True,
            connect_timeout=CONNECT,
            application_name=f"outhaul keeper {export}",
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            tcp_user_timeout=20_000,
        )
        try:
            for statement in OPENING:
                connection.execute(statement)
        except psycopg.Error:
            connection.close()
            raise
        return connection

    def _lives(self, held: _Held) -> bool:
        """Whether the transaction still holds its instant. If not, the export is told at once."""
        try:
            held.connection.execute("SELECT 1")
        except psycopg.Error as broken:
            reason = (str(broken).splitlines() or [type(broken).__name__])[0].rstrip(".")
        else:
            return True
        error = SnapshotLost(f"The connection that held the instant of this export broke: {reason}.")
        self._ledger.lost(held.snapshot.export, held.snapshot.generation, error.as_data())
        return False

    def _drop(self, exports: Iterable[str]) -> None:
        for export in list(exports):
            held = self._held.pop(export)
            held.connection.close()
            if not self._completed(export):
                self._stragglers.append((time.monotonic() + STRAGGLE, held.snapshot))

    def _completed(self, export: str) -> bool:
        try:
            return self._ledger.get(export).status is Status.COMPLETED
        except NotFound:
            return False

    def _end_stragglers(self) -> None:
        """A worker that is frozen or hangs would hold an old instant for as long as it likes: end its session."""
        due = [one for one in self._stragglers if one[0] <= time.monotonic()]
        for one in due:
            self._stragglers.remove(one)
            with (
                contextlib.suppress(psycopg.Error),
                psycopg.connect(self._source, autocommit=True, connect_timeout=CONNECT) as connection,
            ):
                connection.execute(STRAGGLERS, (label(one[1].export, one[1].generation),))


def _heard(held: Iterable[_Held]) -> list[_Held]:
    """Those whose server has said something unasked: nothing but a farewell."""
    sockets = {one.connection.fileno(): one for one in held}
    unasked = select.poll()
    for number in sockets:
        unasked.register(number, select.POLLIN)
    return [sockets[number] for number, _ in unasked.poll(0)]


def _said(error: psycopg.Error) -> SourceError:
    if isinstance(error, psycopg.errors.InsufficientPrivilege | psycopg.errors.InvalidPassword):
        return SourceForbids(
            "The database refuses the role that reads it.", hint="Check its password and grants."
        )
    return SourceAway(
        "The database could not be reached to take an instant.", hint="Start the export again later."
    )


def _until_the_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def main() -> None:
    """Keep instants until standard input ends; its first line is the configuration."""
    os.umask(0o077)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = json.loads(sys.stdin.readline())
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    threading.Thread(target=_until_the_end, args=[ended], daemon=True).start()
    with Ledger(config["ledger"], Terms.from_data(config["terms"])) as ledger:
        keeper = Keeper(ledger, config["source"], config["worker"])
        while not ended.wait(POLL):
            try:
                keeper.turn()
            except AWAY as error:
                log.warning("the ledger is away: %s", type(error).__name__)
        keeper.close()


if __name__ == "__main__":
    main()
