"""A TCP proxy on loopback that slows, stalls and cuts what runs through it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

CHUNK = 16 * 1024


@dataclass
class Proxy:
    """Stands before `target`. `rate` is bytes a second towards the client (None: as fast as it goes); `passed` counts
    them. `cut()` resets every connection; while `closed` no new one is let in; while `stalled` nothing moves."""

    target: tuple[str, int]
    rate: float | None = None
    passed: int = 0
    most: int = 0
    closed: bool = False
    stalled: bool = False
    when: tuple[int, Callable[[], None]] | None = None
    port: int = 0
    _open: set[tuple[socket.socket, socket.socket]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listener: socket.socket | None = None
    _done: bool = False

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                if self.closed:
                    _reset(client)
                    continue
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self.target)
        except OSError:
            _reset(client)
            return
        pair = (client, server)
        with self._lock:
            self._open.add(pair)
            self.most = max(self.most, len(self._open))
        try:
            self._pump(client, server)
        except (OSError, ValueError):
            pass
        finally:
            with self._lock:
                self._open.discard(pair)
            _reset(client)
            _reset(server)

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while not self._done:
                if self.stalled:
                    time.sleep(0.01)
                    continue
                for key, _ in ready.select(0.1):
                    origin = client if key.fileobj is client else server
                    data = origin.recv(CHUNK)
                    if not data:
                        return
                    key.data.sendall(data)
                    if origin is server:
                        self._count(len(data))

    def _count(self, length: int) -> None:
        with self._lock:
            self.passed += length
            due = self.when if self.when is not None and self.passed >= self.when[0] else None
            if due is not None:
                self.when = None
        if due is not None:
            due[1]()
        if self.rate is not None:
            time.sleep(length / self.rate)

    def after(self, length: int, action: Callable[[], None]) -> None:
        """Do something once, when so many more bytes have come from the server."""
        with self._lock:
            self.when = (self.passed + length, action)

    def cut(self) -> None:
        """Reset every connection that is open now, both ways."""
        with self._lock:
            pairs = list(self._open)
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self._done = True
        if self._listener is not None:
            self._listener.close()
        self.cut()


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    end.close()


@contextlib.contextmanager
def proxy(host: str, port: int, rate: float | None = None) -> Iterator[Proxy]:
    """A proxy before host:port, gone afterwards."""
    between = Proxy((host, port), rate)
    between.start()
    try:
        yield between
    finally:
        between.stop()
