"""The soak's visitors: one method for each kind of request; every response is checked."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import socket
import struct
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator

from bench.responses import FullBody, Message, PatternBody, WrongResponse, check_body
from bench.soak.event_loop import Visit
from bench.workload import HOST, page, piece, script
from lbcompanion.protocol.signatures import Signer

#: Of a hundred requests, so many of each kind: the names of methods of :class:`Visitor`.
MIX = {
    "captured_page": 28,
    "gzip_page": 10,
    "posted_page": 4,
    "asset": 26,
    "upload": 4,
    "chunked_upload": 3,
    "expecting_upload": 1,
    "chunked_download": 3,
    "head": 4,
    "revalidation": 5,
    "fetch": 4,
    "refused_fetch": 1,
    "notice": 3,
    "websocket": 1,
    "leaving": 2,
    "slow": 1,
}
_SIZES = (3000, 10240, 24000, 61000)
_KEPT_REQUESTS = 40
_READ_BYTES = 65536
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def mixed() -> list[str]:
    """The mix in an order that is always the same."""
    kinds = [kind for kind, number in MIX.items() for _ in range(number)]
    random.Random(4).shuffle(kinds)
    return kinds


class VisitPlan:
    """State shared by all visitors: request numbers, tokens and counts.

    :ivar tokens: of pages that were captured lately and not fetched, with their sizes.
    """

    def __init__(self, port: int, secret: bytes, first: int, last: int, on_progress: Callable[[int], None]) -> None:
        self.port = port
        self.signer = Signer(secret)
        self.kinds = mixed()
        self.numbers: Iterator[int] = iter(range(first, last))
        self.tokens: deque[tuple[str, int]] = deque(maxlen=50)
        self.seen: set[int] = set()
        self.done: Counter[str] = Counter()
        #: As many as ``tokens`` and more, so that none is told of twice.
        self.noticed: deque[str] = deque(maxlen=200)
        self.notices = 0
        self._on_progress = on_progress

    def record_page(self, token: str, size: int) -> None:
        """Remember its token.

        :raises Wrong: where it was given before.
        """
        if hash(token) in self.seen:
            raise WrongResponse("a token was given twice")
        self.seen.add(hash(token))
        self.tokens.append((token, size))

    def record_done(self, kind: str) -> None:
        """One request is done."""
        self.done[kind] += 1
        self._on_progress(self.done.total())


class Visitor:
    """One visitor with a connection that is kept for some requests."""

    def __init__(self, plan: VisitPlan) -> None:
        self._plan = plan
        self._socket: socket.socket | None = None
        self._left = 0
        self._tag: tuple[bytes, int] | None = None

    def run(self) -> Visit:
        """Ask until there are no numbers left."""
        for number in self._plan.numbers:
            kind = self._plan.kinds[number % 100]
            try:
                yield from getattr(self, kind)(number)
            except (WrongResponse, OSError) as error:
                raise WrongResponse(f"request {number}, {kind}: {error}") from error
            self._plan.record_done(kind)
            self._left -= 1
            if self._left <= 0:
                self._disconnect()
        self._disconnect()

    # Asking and reading.

    def _disconnect(self, abruptly: bool = False) -> None:
        if self._socket is not None:
            if abruptly:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._socket.close()
        self._socket = None

    def _send(self, data: bytes) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._plan.port), timeout=20)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._left = _KEPT_REQUESTS
        self._socket.sendall(data)
        return self._socket

    def _head(self, method: str, target: str, number: int, more: str = "", coding: str = "identity") -> bytes:
        return (
            f"{method} {target}&n={number} HTTP/1.1\r\nHost: {HOST}\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
            f"Accept: text/html,*/*;q=0.8\r\nAccept-Encoding: {coding}\r\nSec-Fetch-Dest: document\r\n"
            f"Cookie: SRV=n1; sessionid=3v9k2m5x8q1z{number:012d}; theme=light\r\n{more}\r\n"
        ).encode()

    def _read(
        self, message: Message, number: int, *statuses: int, sip: tuple[int, float] = (_READ_BYTES, 0.0)
    ) -> Visit:
        connection = self._socket
        assert connection is not None
        while not message.whole:
            yield connection
            data = connection.recv(sip[0])
            if not data:
                raise WrongResponse("the connection was closed")
            message.feed(data)
            if sip[1]:
                yield sip[1]
        if message.status not in (statuses or (200,)):
            raise WrongResponse(f"status {message.status} instead of {statuses}: {message.text()!r}")
        # What the companion answers itself bears no number.
        if number and message.fields.get(b"x-request-id") != b"%d" % number:
            raise WrongResponse("the answer to another request")

    def _size(self, number: int) -> int:
        return _SIZES[number * 2654435761 % 4294967296 >> 30]

    def _page(self, number: int, method: str, coding: str, more: str = "", body: bytes = b"") -> Visit:
        size = self._size(number)
        self._send(self._head(method, f"/page?size={size}", number, more, coding) + body)
        whole = FullBody()
        message = Message(whole)
        yield from self._read(message, number)
        plain = whole.decoded(message.fields.get(b"content-encoding") == b"gzip")
        self._plan.record_page(check_body(plain, page(size), True), size)
        self._tag = (message.fields[b"etag"], size)

    # The kinds.

    def captured_page(self, number: int) -> Visit:
        """A page."""
        yield from self._page(number, "GET", "identity")

    def gzip_page(self, number: int) -> Visit:
        """A page that is coded."""
        yield from self._page(number, "GET", "gzip")

    def posted_page(self, number: int) -> Visit:
        """A form, answered by a page."""
        body = b"name=value&number=%d" % number
        more = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        yield from self._page(number, "POST", "identity", more, body)

    def asset(self, number: int) -> Visit:
        """JavaScript."""
        size = self._size(number)
        self._send(self._head("GET", f"/asset?size={size}", number))
        whole = FullBody()
        yield from self._read(Message(whole), number)
        check_body(whole.decoded(False), script(size), False)

    def _uploaded(self, number: int, size: int) -> Visit:
        whole = FullBody()
        yield from self._read(Message(whole), number)
        receipt = json.loads(whole.decoded(False))
        if receipt != {"bytes": size, "sha256": hashlib.sha256(piece(number, size)).hexdigest()}:
            raise WrongResponse(f"{receipt['bytes']} bytes came of {size}")

    def upload(self, number: int) -> Visit:
        """A body with a length."""
        size = self._size(number)
        head = self._head("POST", "/upload?", number, f"Content-Length: {size}\r\n")
        self._send(head + piece(number, size))
        yield from self._uploaded(number, size)

    def chunked_upload(self, number: int) -> Visit:
        """A body in chunks, and in pieces that have nothing to do with them."""
        size = self._size(number)
        data = self._head("POST", "/upload?", number, "Transfer-Encoding: chunked\r\n")
        for at in range(0, size, 5000):
            part = bytes(piece(number + at, min(5000, size - at)))
            data += b"%x\r\n%b\r\n" % (len(part), part)
        data += b"0\r\n\r\n"
        for at in range(0, len(data), 16000):
            self._send(data[at : at + 16000])
            yield 0.0
        yield from self._uploaded(number, size)

    def expecting_upload(self, number: int) -> Visit:
        """A body that is sent when the application wants it (RFC 9110 section 10.1.1)."""
        size = self._size(number)
        more = f"Content-Length: {size}\r\nExpect: 100-continue\r\n"
        self._send(self._head("POST", "/upload?", number, more))
        yield from self._read(Message(FullBody()), 0, 100)
        self._send(bytes(piece(number, size)))
        yield from self._uploaded(number, size)

    def chunked_download(self, number: int) -> Visit:
        """A stream in chunks."""
        size = 4 * self._size(number)
        self._send(self._head("GET", f"/stream?chunked=1&size={size}", number))
        stream = PatternBody()
        yield from self._read(Message(stream), number)
        if stream.size != size:
            raise WrongResponse("not all of the stream")

    def head(self, number: int) -> Visit:
        """A page's head."""
        self._send(self._head("HEAD", f"/page?size={self._size(number)}", number))
        yield from self._read(Message(FullBody(), bodiless=True), number)

    def revalidation(self, number: int) -> Visit:
        """A page that the visitor has already, by the entity tag that came with it."""
        if self._tag is None:
            yield from self.captured_page(number)
            return
        tag, size = self._tag
        self._send(self._head("GET", f"/page?size={size}", number, f"If-None-Match: {tag.decode()}\r\n"))
        message = Message(FullBody())
        yield from self._read(message, number, 304)
        if message.fields.get(b"etag") != tag:
            raise WrongResponse("a 304 with another entity tag")

    def _companion_request(self, method: str, path: str, more: dict[str, str], body: bytes = b"") -> None:
        fields = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        self._send(f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n".encode() + body)

    def _signed(self, method: str, path: str, number: int) -> None:
        nonce = f"{number:032x}"
        self._companion_request(
            method, path, dict(self._plan.signer.sign(method, f"http://{HOST}{path}", nonce, time.time()))
        )

    def fetch(self, number: int) -> Visit:
        """A copy, by the crawler; every other one is confirmed, and is gone then."""
        if not self._plan.tokens:
            yield from self.captured_page(number)
            return
        token, size = self._plan.tokens.pop()
        path = f"/_lbc/page/{token}"
        self._signed("GET", path, number)
        whole = FullBody()
        yield from self._read(Message(whole), 0)
        check_body(whole.decoded(False), page(size), False)
        if number // 100 % 2:
            self._signed("DELETE", path, number)
            # A full store lets those go first that were sent already: it may be gone (404) before it is confirmed.
            yield from self._read(Message(FullBody()), 0, 204, 404)
            self._signed("GET", path, number)
            yield from self._read(Message(FullBody()), 0, 404)

    def refused_fetch(self, number: int) -> Visit:
        """A copy, asked for by somebody else."""
        token = self._plan.tokens[-1][0] if self._plan.tokens else "x"
        self._companion_request("GET", f"/_lbc/page/{token}", {})
        yield from self._read(Message(FullBody()), 0, 403)

    def notice(self, number: int) -> Visit:
        """Send the notice of a page."""
        token = next((one for one, _ in self._plan.tokens if one not in self._plan.noticed), "")
        if not token:
            yield from self.captured_page(number)
            return
        self._plan.noticed.append(token)
        notice = {"token": token, "url": f"http://{HOST}/page?n={number}", "cookies": {"SRV": "n1"}}
        body = json.dumps({**notice, "viewed_at": "2025-03-03T10:00:00Z"}).encode()
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Cookie": "SRV=n1"}
        self._companion_request("POST", "/_lbc/notice", fields, body)
        yield from self._read(Message(FullBody()), 0, 204)
        self._plan.notices += 1

    def websocket(self, number: int) -> Visit:
        """A switch of protocols, some words there and back, and a good-bye."""
        key = base64.b64encode(number.to_bytes(16, "big"))
        more = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        more += f"Sec-WebSocket-Key: {key.decode()}\r\n"
        connection = self._send(self._head("GET", "/socket?", number, more))
        message = Message(FullBody())
        yield from self._read(message, number, 101)
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        if message.fields.get(b"sec-websocket-accept") != accept:
            raise WrongResponse("another key was accepted")
        heard = message.rest
        for opcode, payload in ((1, b"hello"), (2, b"%d" % number), (8, b"")):
            mask = number.to_bytes(4, "big")
            masked = bytes(one ^ other for one, other in zip(payload, mask * 8, strict=False))
            connection.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)
            wanted = bytes([0x80 | opcode, len(payload)]) + payload
            while len(heard) < len(wanted):
                yield connection
                data = connection.recv(_READ_BYTES)
                if not data:
                    raise WrongResponse("the socket was closed")
                heard += data
            if not heard.startswith(wanted):
                raise WrongResponse("other words came back")
            heard = heard[len(wanted) :]
        self._disconnect()

    def leaving(self, number: int) -> Visit:
        """The visitor leaves: amid a download, amid an upload, or right after asking."""
        if number % 3 == 0:
            connection = self._send(self._head("GET", "/stream?size=4000000", number))
            stream = PatternBody()
            message = Message(stream)
            while stream.size < 20000:
                yield connection
                data = connection.recv(_READ_BYTES)
                if not data:
                    raise WrongResponse("the connection was closed")
                message.feed(data)
        elif number % 3 == 1:
            self._send(self._head("POST", "/upload?", number, "Content-Length: 100000\r\n") + piece(0, 5000))
            yield 0.002
        else:
            self._send(self._head("GET", f"/page?size={self._size(number)}", number))
            yield 0.0005
        self._disconnect(abruptly=number % 2 == 0)

    def slow(self, number: int) -> Visit:
        """A head in drops, an answer in sips."""
        head = self._head("GET", f"/page?size={_SIZES[-1]}", number)
        for at in range(0, len(head), 100):
            self._send(head[at : at + 100])
            yield 0.002
        whole = FullBody()
        yield from self._read(Message(whole), number, sip=(8192, 0.002))
        self._plan.record_page(check_body(whole.decoded(False), page(_SIZES[-1]), True), _SIZES[-1])
