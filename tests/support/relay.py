"""A TCP relay that can be cut, and that can swallow what comes, as a broken network does."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress

_BYTES = 65536


class Relay:
    """Passes connections on to a port of this machine, in threads of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._open = threading.Event()
        self._open.set()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                pair = client, socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._pairs.add(pair)
            threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        other = {client: server, server: client}
        with suppress(OSError, ValueError):
            while True:
                for readable in select.select([client, server], [], [], 0.5)[0]:
                    self._open.wait()
                    data = readable.recv(_BYTES)
                    if not data:
                        raise OSError
                    other[readable].sendall(data)
        self._pairs.discard((client, server))
        client.close()
        server.close()

    def silence(self) -> None:
        """Pass nothing on; connections stay open."""
        self._open.clear()

    def speak(self) -> None:
        """Pass on again, also what waits."""
        self._open.set()

    def cut(self) -> None:
        """End all connections."""
        for pair in list(self._pairs):
            for each in pair:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept no more, and end all connections."""
        self._listener.close()
        self.speak()
        self.cut()
