"""Between a process and Postgres: passes bytes on, and cuts the wire right after a COMMIT."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path

from sqlalchemy.engine import make_url

APPEND = b"COPY log.events"
COMMITTED = b"COMMIT\0"
"""The server's word that a transaction is durable: the client waits for it."""


class Wire:
    """Listens on the loopback for clients of the Postgres at `url`, which has a socket in a folder.

    The next `cuts` connections that have appended to the log lose it when the server says that the append is
    committed: both ends are closed, and the client never hears.
    """

    def __init__(self, url: str) -> None:
        self._behind = make_url(url)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._turn = threading.Lock()
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        host, port = self._listening.getsockname()
        here = self._behind.set(host=host, port=port, query={})
        return here.render_as_string(hide_password=False)

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(Path(str(self._behind.query["host"])) / ".s.PGSQL.5432"))
                _Connection(self, client, server)

    def cut(self) -> bool:
        """Whether this is one of those to be cut."""
        with self._turn:
            self.cuts, is_cut = max(0, self.cuts - 1), self.cuts > 0
        return is_cut


class _Connection:
    def __init__(self, wire: Wire, client: socket.socket, server: socket.socket) -> None:
        self._wire, self._client, self._server = wire, client, server
        self._appended = False
        for act in (self._forth, self._back):
            threading.Thread(target=act, daemon=True).start()

    def _forth(self) -> None:
        with suppress(OSError):
            while data := self._client.recv(65_536):
                self._appended = self._appended or APPEND in data
                self._server.sendall(data)
        self._end()

    def _back(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(65_536):
                if self._appended and COMMITTED in data:
                    self._appended = False
                    if self._wire.cut():
                        break
                self._client.sendall(data)
        self._end()

    def _end(self) -> None:
        for one in (self._client, self._server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
