"""An application that writes down what it was sent, reads it with h11 and without leniency, and answers by the book.

h11 takes some things that no proxy should write (a bare LF, a folded line), so every head is held against the grammar
besides.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from contextlib import suppress
from threading import Thread

import h11
from attrs import Factory, define, frozen

from lbcompanion.demo.ports import LOOPBACK

_HEAD = re.compile(
    rb"[A-Z-]+ [\x21-\x7e]+ HTTP/1\.[01]\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*\r\n"
)
_RECEIVE = 65536


@frozen
class ReceivedRequest:
    """One whole request."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...] = Factory(tuple)
    body: bytes = b""
    trailers: tuple[tuple[bytes, bytes], ...] = ()
    raw_head: bytes = b""

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field, name in lower case."""
        return next((value for key, value in self.fields if key == name), None)


@define
class _Connection:
    """One connection of the companion's."""

    link: socket.socket
    parser: h11.Connection
    raw: bytearray
    request: h11.Request | None = None
    head: bytes = b""
    body: bytearray = Factory(bytearray)


class RecordingApplication:
    """Runs in a thread of its own until :meth:`close`.

    :param port: where the companion looks for it.
    :ivar scripts: by path, what to answer instead, byte for byte; the connection is closed behind it.
    :ivar seen: requests that came whole, in order.
    :ivar begun: how many heads came.
    :ivar complaints: what it was sent and cannot be read, or breaks the grammar.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.seen: list[ReceivedRequest] = []
        self.begun = 0
        self.complaints: list[str] = []
        self.scripts: dict[bytes, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server((LOOPBACK, port), backlog=64)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._ended = False
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def forget(self) -> None:
        """Begin a new page."""
        self.seen.clear()
        self.complaints.clear()
        self.begun = 0

    def wait_for(self, count: int, seconds: float = 60) -> None:
        """Until that many whole requests came; not an error where they do not."""
        until = time.monotonic() + seconds
        while len(self.seen) < count and time.monotonic() < until:
            time.sleep(0.002)

    def close(self) -> None:
        self._ended = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

    def _serve(self) -> None:
        while not self._ended:
            for key, _ in self._selector.select(0.05):
                if key.data is None:
                    link, _ = self._listener.accept()
                    link.settimeout(5)
                    connection = _Connection(link, h11.Connection(h11.SERVER), bytearray())
                    self._selector.register(link, selectors.EVENT_READ, connection)
                else:
                    self._read(key.data)

    def _read(self, connection: _Connection) -> None:
        try:
            data = connection.link.recv(_RECEIVE)
        except OSError:
            data = b""
        if not data:
            # A body of known length that breaks off is an error of h11's, and none of the companion's.
            self._drop(connection)
            return
        connection.raw += data
        try:
            connection.parser.receive_data(data)
            while self._take(connection):
                pass
        except h11.RemoteProtocolError as error:
            self.complaints.append(f"h11: {error}: {bytes(connection.raw)!r}")
            self._drop(connection)

    def _take(self, connection: _Connection) -> bool:
        event = connection.parser.next_event()
        if isinstance(event, h11.Request):
            self._begin(connection, event)
        elif isinstance(event, h11.Data):
            connection.body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return self._answer(connection, event)
        else:
            if event is h11.PAUSED and connection.raw:
                self.complaints.append(f"bytes behind a request: {bytes(connection.raw)!r}")
                self._drop(connection)
            return False
        return True

    def _begin(self, connection: _Connection, request: h11.Request) -> None:
        self.begun += 1
        raw = bytes(connection.raw)
        end = raw.find(b"\r\n\r\n") + 4
        if not _HEAD.fullmatch(raw[:end]):
            self.complaints.append(f"a head against the grammar: {raw!r}")
        names = [name for name, _ in request.headers]
        framing = names.count(b"content-length") + names.count(b"transfer-encoding")
        hosts = names.count(b"host")
        if framing > 1 or hosts > 1 or (not hosts and request.http_version == b"1.1"):
            self.complaints.append(f"fields that contradict: {raw!r}")
        connection.request, connection.head = request, raw[:end]
        connection.body.clear()
        connection.raw.clear()

    def _answer(self, connection: _Connection, end: h11.EndOfMessage) -> bool:
        request = connection.request
        assert request is not None
        connection.raw.clear()
        fields = tuple((bytes(name), bytes(value)) for name, value in request.headers)
        trailers = tuple((bytes(name), bytes(value)) for name, value in end.headers)
        body = bytes(connection.body)
        self.seen.append(
            ReceivedRequest(bytes(request.method), bytes(request.target), fields, body, trailers, connection.head)
        )
        script = self.scripts.get(bytes(request.target))
        try:
            if script is not None:
                connection.link.sendall(script)
                self._drop(connection)
                return False
            told = [
                ("Content-Length", "0"),
                ("X-Method", request.method.decode()),
                ("X-Target", request.target.decode()),
            ]
            out = connection.parser.send(h11.Response(status_code=200, headers=told, reason=b"OK"))
            assert out is not None
            connection.link.sendall(out + (connection.parser.send(h11.EndOfMessage()) or b""))
        except OSError:
            self._drop(connection)
            return False
        if connection.parser.our_state is not h11.DONE or connection.parser.their_state is not h11.DONE:
            self._drop(connection)
            return False
        connection.parser.start_next_cycle()
        return True

    def _drop(self, connection: _Connection) -> None:
        with suppress(KeyError):
            self._selector.unregister(connection.link)
        connection.link.close()
