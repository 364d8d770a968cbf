"""A relay that listens in: bytes pass as they are, and those of the side that asks are kept."""

from __future__ import annotations

import contextlib
import re
import socket
import threading

_HEAD = re.compile(rb"(GET|HEAD|POST|DELETE|PUT|OPTIONS) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n")
_LENGTH = re.compile(rb"(?i)^content-length: *(\d+)", re.MULTILINE)
_COOKIE = re.compile(rb"(?i)^cookie: *(.*?)\r?$", re.MULTILINE)


class Wiretap:
    """Relays from a port of its own to another one on loopback."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._heard: list[bytearray] = []
        self._open: set[socket.socket] = {self._listening}
        threading.Thread(target=self._accept, daemon=True).start()

    def heard(self) -> list[bytes]:
        """The requests, one text for each connection."""
        return [bytes(one) for one in self._heard]

    def requests(self) -> list[tuple[str, str, str, bytes]]:
        """Method, target, Cookie header and body of all that was asked."""
        found = []
        for said in self.heard():
            for head in _HEAD.finditer(said):
                length, cookie = _LENGTH.search(head[3]), _COOKIE.search(head[3])
                body = said[head.end() : head.end() + int(length[1])] if length else b""
                found.append((head[1].decode(), head[2].decode(), cookie[1].decode() if cookie else "", body))
        return found

    def close(self) -> None:
        """Relay no more."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                here, (address, _) = self._listening.accept()
                # From the address that asks: some balancers go by it.
                there = socket.create_connection(("127.0.0.1", self._target), source_address=(address, 0))
            except ConnectionRefusedError:
                here.close()
                continue
            except OSError:
                return
            kept = bytearray()
            self._heard.append(kept)
            self._open |= {here, there}
            threading.Thread(target=self._pump, args=(here, there, kept), daemon=True).start()
            threading.Thread(target=self._pump, args=(there, here, None), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, kept: bytearray | None) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if kept is not None:
                    kept += data
                sink.sendall(data)
        for one, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with contextlib.suppress(OSError):
                one.shutdown(how)
