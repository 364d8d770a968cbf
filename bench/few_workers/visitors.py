"""Visitors who come in bursts, on sockets that never block; what they got, and how long it took."""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

from attrs import Factory, define

from bench.workload import HOST

_READ_BYTES = 262144
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_HEAD = "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nUser-Agent: Mozilla/5.0 bench\r\n{close}\r\n"


@define
class Outcome:
    """The result of one burst.

    :ivar seconds: from the first request to the last response.
    :ivar worst: the longest wait for one response, in seconds.
    :ivar answered: the number of right responses.
    :ivar errors: everything else, by what it was.
    """

    seconds: float = 0.0
    worst: float = 0.0
    answered: int = 0
    errors: Counter[str] = Factory(Counter)


class Connection:
    """A connection of a visitor: one request at a time.

    :param burst: what it belongs to.
    :param done: called after each response, with whether the connection can be used again.
    """

    def __init__(self, burst: Burst, done: Callable[[Connection, bool], None]) -> None:
        self._burst = burst
        self._done = done
        self._socket: socket.socket | None = None
        self._data = b""
        self._to_send = b""
        self._begun = 0.0
        self._expected = b""

    def request(self, path: str, expected: bytes, close: bool) -> None:
        """Send a request, on a new connection if there is none.

        :param expected: what the body must contain.
        """
        head = _HEAD.format(path=path, host=HOST, close="Connection: close\r\n" if close else "")
        self._to_send, self._data, self._expected = head.encode(), b"", expected
        self._begun = time.perf_counter()
        self._burst.open.add(self)
        if self._socket is None:
            self._socket = socket.socket()
            self._socket.setblocking(False)
            self._socket.connect_ex(("127.0.0.1", self._burst.port))
            self._burst.selector.register(self._socket, selectors.EVENT_WRITE, self)
        else:
            self._socket.send(self._to_send)

    def on_event(self, events: int) -> None:
        """Send the request, or read what there is."""
        assert self._socket is not None
        try:
            if events & selectors.EVENT_WRITE:
                self._socket.send(self._to_send)
                self._burst.selector.modify(self._socket, selectors.EVENT_READ, self)
                return
            data = self._socket.recv(_READ_BYTES)
        except OSError as error:
            self._end(type(error).__name__, False)
            return
        self._data += data
        if not data:
            self._end(self._fault(), False)
        elif self._is_whole():
            self._end(self._fault(), not _CLOSE.search(self._data))

    def _is_whole(self) -> bool:
        head, found, body = self._data.partition(b"\r\n\r\n")
        if not found:
            return False
        head += b"\r\n"
        if length := _LENGTH.search(head):
            return len(body) >= int(length[1])
        return bool(_CHUNKED.search(head)) and body.endswith(b"\r\n0\r\n\r\n")

    def _fault(self) -> str:
        if not self._data:
            return "closed without a response"
        if not self._data.startswith(b"HTTP/1.1 200"):
            return self._data[9:12].decode("latin-1")
        return "" if self._is_whole() and self._expected in self._data else "wrong body"

    def _end(self, fault: str, reusable: bool) -> None:
        outcome = self._burst.outcome
        outcome.worst = max(outcome.worst, time.perf_counter() - self._begun)
        if fault:
            outcome.errors[fault] += 1
        else:
            outcome.answered += 1
        self._burst.open.discard(self)
        if not reusable:
            self.close()
        self._done(self, reusable)

    def close(self) -> None:
        """Close the socket, if there is one."""
        if self._socket is not None:
            self._burst.selector.unregister(self._socket)
            self._socket.close()
            self._socket = None


class Burst:
    """A loop over connections until nothing is left to do.

    :ivar open: the connections that wait for a response.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.selector = selectors.DefaultSelector()
        self.outcome = Outcome()
        self.open: set[Connection] = set()

    def run(self, begin: Callable[[Burst], None], seconds: float) -> Outcome:
        """Run it.

        :param begin: sends the first requests.
        :param seconds: what has no response by then counts as an error.
        """
        begun = time.perf_counter()
        begin(self)
        while self.open and time.perf_counter() - begun < seconds:
            for key, events in self.selector.select(0.1):
                if key.data in self.open:
                    key.data.on_event(events)
                else:
                    # The other end has closed an idle connection.
                    key.data.close()
        self.outcome.seconds = time.perf_counter() - begun
        if self.open:
            self.outcome.errors[f"no response within {seconds:g} s"] = len(self.open)
            self.outcome.worst = max(self.outcome.worst, seconds)
        for key in list(self.selector.get_map().values()):
            key.data.close()
        self.selector.close()
        return self.outcome


def crowd(path: str, expected: bytes, requests: int, at_once: int) -> Callable[[Burst], None]:
    """Requests of visitors who come once each, on a new connection.

    :param at_once: how many are on their way at a time.
    """

    def begin(burst: Burst) -> None:
        left = iter(range(requests))

        def following(connection: Connection, reusable: bool) -> None:
            if next(left, None) is not None:
                connection.close()
                connection.request(path, expected, True)

        for _ in range(at_once):
            following(Connection(burst, following), False)

    return begin


class _Visitor:
    """A browser: the page, then its files over as many connections as a browser opens."""

    _CONNECTIONS = 6

    def __init__(self, burst: Burst, page: tuple[str, bytes], files: Iterable[tuple[str, bytes]], left: deque[int]):
        self._burst = burst
        self._page = page
        self._files = tuple(files)
        self._left = left
        self._connections = [Connection(burst, self._following) for _ in range(self._CONNECTIONS)]

    def view(self) -> None:
        """View a page as one more visitor, if one is left."""
        for connection in self._connections:
            connection.close()
        if not self._left:
            return
        self._left.pop()
        self._wanted = deque(self._files)
        self._busy = 1
        self._at_page = True
        self._connections[0].request(*self._page, False)

    def _following(self, connection: Connection, reusable: bool) -> None:
        self._busy -= 1
        if self._at_page:
            self._at_page = False
            for one in self._connections:
                self._fetch(one)
        else:
            self._fetch(connection)
        if not self._busy:
            self.view()

    def _fetch(self, connection: Connection) -> None:
        if self._wanted:
            self._busy += 1
            connection.request(*self._wanted.popleft(), False)


def browsers(
    page: tuple[str, bytes], files: Iterable[tuple[str, bytes]], views: int, at_once: int
) -> Callable[[Burst], None]:
    """Visitors with a browser: each views one page with its files, and leaves.

    :param page: its path, and what its body must contain.
    :param files: likewise.
    :param views: how many there are.
    :param at_once: how many of them at a time.
    """
    wanted = tuple(files)

    def begin(burst: Burst) -> None:
        left = deque(range(views))
        for _ in range(at_once):
            _Visitor(burst, page, wanted, left).view()

    return begin
