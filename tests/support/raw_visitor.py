"""A visitor who sends bytes, whatever they are, and reads what comes back with h11."""

from __future__ import annotations

import socket
from contextlib import suppress

import h11
from attrs import frozen

from lbcompanion.demo.ports import LOOPBACK

_SECONDS = 60.0


@frozen
class Answer:
    """One answer.

    :ivar whole: whether its end came.
    """

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    whole: bool = True

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field, name in lower case."""
        return next((value for key, value in self.fields if key == name), None)


class RawVisitor:
    """One connection to a companion.

    :ivar raw: all bytes that came.
    """

    def __init__(self, port: int) -> None:
        self._link = socket.create_connection((LOOPBACK, port), timeout=_SECONDS)
        self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        self.raw = b""
        self.ended = False

    def send(self, data: bytes, pieces: int = 0) -> None:
        """Send; in pieces of that many bytes, where it is not 0. Whoever refuses early may have closed meanwhile."""
        with suppress(ConnectionError):
            if not pieces:
                self._link.sendall(data)
            else:
                for at in range(0, len(data), pieces):
                    self._link.sendall(data[at : at + pieces])

    def answer(self, method: bytes = b"GET") -> Answer | None:
        """The next final answer, None where the connection ended before it.

        :raises h11.RemoteProtocolError: for what h11 does not take for an answer.
        """
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(self._buffer) if self._buffer else None
        self._buffer = b""
        head: h11.Response | None = None
        body = b""
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                data = self._receive()
                if not data and head is None and not parser.trailing_data[0]:
                    return None
                try:
                    parser.receive_data(data)
                    if data:
                        continue
                    event = parser.next_event()
                except h11.RemoteProtocolError:
                    if not data and head is not None:
                        return _answer(head, body, whole=False)
                    raise
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                self._buffer = parser.trailing_data[0]
                return _answer(head, body, whole=True)
            elif isinstance(event, h11.ConnectionClosed):
                return None

    def _receive(self) -> bytes:
        if self.ended:
            return b""
        try:
            data = self._link.recv(65536)
        except ConnectionError:
            data = b""
        self.ended = not data
        self.raw += data
        return data

    def end(self) -> bytes:
        """Read on until the connection ends; what came before that."""
        data, self._buffer = self._buffer, b""
        while more := self._receive():
            data += more
        return data

    def close(self) -> None:
        self._link.close()


def _answer(head: h11.Response, body: bytes, whole: bool) -> Answer:
    fields = tuple((bytes(name), bytes(value)) for name, value in head.headers)
    return Answer(head.status_code, fields, body, whole)
