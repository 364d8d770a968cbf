"""A companion in memory: its machines, an application that a test scripts, visitors, and time moved by hand."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import TestCase

import attrs
import h11
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

from lbcompanion.http1.heads import RequestHead
from lbcompanion.model import Page
from lbcompanion.node.capture.page_policy import PagePolicy
from lbcompanion.node.copies.service import CopyRequest
from lbcompanion.node.endpoints.application_client import NoPageError, UpstreamResponse
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices.spool import Spool
from lbcompanion.node.proxy.context import InternalResponse
from lbcompanion.node.proxy.upstream import UpstreamConnection
from lbcompanion.node.proxy.visitor import VisitorConnection
from lbcompanion.node.wiring import NodeDependencies, build
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.settings import NodeSettings, NodeTable, StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.memory_transport import MemoryLoop, MemoryTransport, RemoteEnd
from lbcompanion.testing.strategies import SECRET

EPOCH = 1_795_468_200.0
_BYTES = bytes(range(256))
HOST = b"www.example.com"
PAGE = b"<!DOCTYPE html>\n<html><head><title>A page</title></head><body><p>caf\xc3\xa9</p></body></html>\n"
TAG_START = b"<script async src="


@attrs.frozen
class ReceivedRequest:
    """A request as the application saw it; ``fields`` with names in lower case."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]

    def get(self, name: bytes) -> bytes | None:
        return next(iter(self.all(name)), None)


@attrs.frozen
class VisitorResponse:
    """An answer as a visitor read it, by h11's reading.

    :ivar interim: the statuses of the 1xx before it.
    :ivar complete: False: its end never came.
    """

    status: int
    fields: list[tuple[bytes, bytes]]
    body: bytes
    complete: bool = True
    interim: tuple[int, ...] = ()
    version: bytes = b"1.1"
    trailers: tuple[tuple[bytes, bytes], ...] = ()

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key == name]

    def get(self, name: bytes) -> bytes | None:
        return next(iter(self.all(name)), None)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def read_responses(
    received: bytes, methods: Iterable[bytes], eof: bool, version: bytes = b"1.1"
) -> list[VisitorResponse]:
    """Read what a visitor got, as h11 reads it; what stands behind the last answer is an error."""
    answers = []
    for method in methods:
        connection = h11.Connection(h11.CLIENT)
        switch = [("Connection", "upgrade"), ("Upgrade", "any")] if b" 101 " in received[:13] else []
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "a"), *switch]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(received)
        if eof:
            connection.receive_data(b"")
        answer, interim = None, []
        body = b""
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                assert answer is not None
                answers.append(attrs.evolve(answer, body=body, complete=False))
                return answers
            if isinstance(event, h11.InformationalResponse):
                interim.append(event.status_code)
                if event.status_code == 101:
                    return [*answers, VisitorResponse(101, list(event.headers), connection.trailing_data[0])]
            elif isinstance(event, h11.Response):
                answer = VisitorResponse(
                    event.status_code, list(event.headers), b"", True, tuple(interim), bytes(event.http_version)
                )
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert answer is not None
                answers.append(attrs.evolve(answer, body=body, trailers=tuple(event.headers)))
                received = connection.trailing_data[0]
                break
            else:
                if answer is not None:
                    answers.append(attrs.evolve(answer, body=body, complete=False))
                return answers
    assert received == b"", received[:200]
    return answers


class ApplicationConnection:
    """The application's end of a connection; requests are read by h11."""

    def __init__(self, application: ModelApplication, remote: RemoteEnd) -> None:
        self.application = application
        self.remote = remote
        self.raw = False
        self._start(b"")
        remote.on_data = self._data

    def _start(self, data: bytes) -> None:
        self._h11 = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = b""
        if data:
            self._data(data)

    def _data(self, data: bytes) -> None:
        if self.raw:
            return
        self._h11.receive_data(data)
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                self._request = event
                self.application.heads.append(self._received_request())
                self.application.on_head(self, self._received_request())
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                received = self._received_request()
                self.application.received_requests.append(received)
                rest = self._h11.trailing_data[0]
                self.application.on_request(self, received)
                if not self.raw:
                    self._start(rest)
                return
            else:
                return

    def _received_request(self) -> ReceivedRequest:
        assert self._request is not None
        return ReceivedRequest(
            bytes(self._request.method), bytes(self._request.target), list(self._request.headers), self._body
        )

    def send(self, *pieces: bytes) -> None:
        self.remote.send(*pieces)

    def end(self) -> None:
        self.remote.send_eof()

    def reset(self) -> None:
        self.remote.reset()


class ModelApplication:
    """The application: what it answers is the test's business.

    :ivar on_request: called for each whole request.
    """

    def __init__(self, loop: MemoryLoop) -> None:
        self._loop = loop
        self.received_requests: list[ReceivedRequest] = []
        self.heads: list[ReceivedRequest] = []
        self.connections: list[ApplicationConnection] = []
        self.connect_error = ""
        self.unresponsive = False
        self.on_head: Callable[[ApplicationConnection, ReceivedRequest], None] = lambda connection, received: None
        self.on_request: Callable[[ApplicationConnection, ReceivedRequest], None] = lambda connection, received: (
            connection.send(html())
        )

    def dial(self, upstream: UpstreamConnection) -> None:
        if self.unresponsive:
            return
        if self.connect_error:
            self._loop.call_soon(lambda: upstream.dial_failed(self.connect_error))
            return

        def connect() -> None:
            transport = MemoryTransport(self._loop, upstream, None)
            self.connections.append(ApplicationConnection(self, transport.remote))
            transport.connect()

        self._loop.call_soon(connect)

    def answers(self, *pieces: bytes, then: str = "") -> None:
        """Answer every request with these pieces, and ``end`` or ``reset`` the connection behind them."""

        def on_request(connection: ApplicationConnection, received: ReceivedRequest) -> None:
            connection.send(*pieces)
            if then:
                connection.application._loop.call_soon(getattr(connection, then))

        self.on_request = on_request


def html(body: bytes = PAGE, *fields: bytes, status: bytes = b"200 OK", length: bool = True) -> bytes:
    """A page as an application sends it."""
    lines = [b"HTTP/1.1 " + status, b"Content-Type: text/html; charset=utf-8", *fields]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunked(*bodies: bytes, last: bool = True) -> bytes:
    """A page in chunks."""
    head = html(b"", b"Transfer-Encoding: chunked", length=False)
    return head + b"".join(b"%x\r\n%b\r\n" % (len(b), b) for b in bodies) + (b"0\r\n\r\n" if last else b"")


def request(
    target: bytes = b"/", *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1", host: bytes = HOST
) -> bytes:
    return b"\r\n".join([method + b" " + target + b" HTTP/" + version, b"Host: " + host, *fields, b"", b""])


def without_tag(page: bytes) -> bytes:
    """A visitor's page less our tag."""
    start = page.find(TAG_START)
    if start < 0:
        return page
    end = page.index(b"</script>", start) + len(b"</script>")
    return page[:start] + page[end:]


def at_once(work: Callable[[], Any], /) -> Deferred[Any]:
    return maybeDeferred(work)


def new_folder(case: TestCase) -> Path:
    """A folder that is removed after the test."""
    folder = TemporaryDirectory()
    case.addCleanup(folder.cleanup)
    return Path(folder.name)


def settings(name: str = "n1", **tables: Any) -> NodeSettings:
    """Settings of a node; ``node`` is a mapping of what shall differ in ``[node]``."""
    node = NodeTable(
        name=name,
        listen=("tcp:0",),
        upstream="tcp:127.0.0.1:1",
        secret_file=Path("farm.secret"),
        secret=SECRET,
        **{"trusted_proxies": (), **tables.pop("node", {})},
    )
    return NodeSettings(node, **tables)


class _CountedBytes:
    """A source of randomness for tests: bytes that count, from 0 to 255 and again."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self, count: int) -> bytes:
        start, self._next = self._next, (self._next + count) % 256
        return (_BYTES * (count // 256 + 2))[start : start + count]


class InMemoryNode:
    """One companion.

    :param store: by default a memory store; of these settings, where it is given some.
    :param policy: the class of the policy.
    :param pass_on: how to reach other nodes.
    :param spool: where its notices wait; None: it sends none on.
    :param shared: whether other nodes may use its store.
    :param tables: of the settings.
    """

    def __init__(
        self,
        store: Any = None,
        policy: type[PagePolicy] = PagePolicy,
        ask_peers: Callable[
            [bytes, str, CopyRequest], Deferred[InternalResponse | None] | None
        ] = lambda method, owner, ask: None,
        spool: Spool | None = None,
        name: str = "n1",
        shared: bool = True,
        **tables: Any,
    ) -> None:
        if isinstance(store, StoreTable):
            tables["store"], store = store, None
        self.settings = settings(name, **tables)
        self.clock = Clock()
        self.clock.advance(1000)
        self.loop = MemoryLoop()
        self.counters = Counters()
        self.logged: list[str] = []
        self.store = store if store is not None else MemoryStore(self.settings.store, self.now)
        self._numbers = itertools.count()
        self.tokens = Tokens(SECRET, name, _CountedBytes())
        self.wake_count = 0
        self.captured: list[tuple[Page, bytes]] = []
        self.on_captured: Callable[[Page, bytes], None] = lambda page, cookie: self.captured.append((page, cookie))
        self.on_ask_application: Callable[[RequestHead], Deferred[UpstreamResponse]] = lambda head: fail(
            NoPageError("no application")
        )
        self.leaving = False
        self.application = ModelApplication(self.loop)
        parts = build(
            NodeDependencies(
                settings=self.settings,
                now=self.now,
                monotonic=self.clock.seconds,
                call_later=self.clock.callLater,
                log=self.log,
                counters=self.counters,
                store=self.store,
                shared_store=shared,
                tokens=self.tokens,
                dial=self.application.dial,
                ask_application=self._ask,
                ask_peers=ask_peers,
                spool=spool,
                on_notice=self._wake,
                is_draining=lambda: self.leaving,
                on_captured=self._on_captured,
                policy=policy,
            )
        )
        self.copies, self.notice_receiver, self.policy, self.script = (
            parts.copies,
            parts.notice_receiver,
            parts.policy,
            parts.script,
        )
        self.page_cookies = parts.page_cookies
        self.endpoints, self.context, self.upstream_pool = parts.endpoints, parts.context, parts.context.upstream_pool
        self.signer = Signer(SECRET)

    def now(self) -> float:
        return EPOCH + float(self.clock.seconds())

    def log(self, event: str, detail: str) -> None:
        self.logged.append(f"{event}: {detail}")

    def _ask(self, head: RequestHead) -> Deferred[UpstreamResponse]:
        return self.on_ask_application(head)

    def _on_captured(self, page: Page, cookie: bytes) -> None:
        self.on_captured(page, cookie)

    def _wake(self) -> None:
        self.wake_count += 1

    def run(self) -> None:
        self.loop.run()

    def tick(self) -> None:
        """Check the deadlines of all connections."""
        for _ in self.context.tick_in_parts(self.clock.seconds()):
            pass

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass, with the ticks that the service gives."""
        while seconds > 0:
            self.clock.advance(min(step, seconds))
            seconds -= step
            self.tick()
            self.upstream_pool.tick(self.clock.seconds())
            self.run()

    def connect(self, peer: object = ("192.0.2.7", 4711)) -> RemoteEnd:
        """A new visitor."""
        return MemoryTransport(self.loop, VisitorConnection(self.context), peer).connect()

    def ask(
        self, *pieces: bytes, methods: Iterable[bytes] = (b"GET",), peer: object = ("192.0.2.7", 4711)
    ) -> list[VisitorResponse]:
        """Send these pieces on a connection of its own and read the answers."""
        visitor = self.connect(peer)
        visitor.send(*pieces)
        self.run()
        return read_responses(visitor.received, methods, visitor.eof or visitor.closed)

    def get(self, target: bytes = b"/", *fields: bytes, method: bytes = b"GET", **more: Any) -> VisitorResponse:
        """One request, one answer."""
        (answer,) = self.ask(request(target, *fields, method=method), methods=[method], **more)
        return answer

    def signed(self, method: str, path: str, body: bytes | None = None, nonce: str = "nonce-1") -> list[bytes]:
        """The fields of a signed request."""
        fields = self.signer.sign(method, f"http://{HOST.decode()}{path}", nonce, self.now(), body)
        return [f"{key}: {value}".encode() for key, value in fields]

    def fetch(self, token: str, method: str = "GET", *fields: bytes, nonce: str = "nonce-1") -> VisitorResponse:
        """Fetch a copy as the crawler does."""
        path = f"/_lbc/page/{token}"
        signed = self.signed(method, path, nonce=nonce)
        return self.get(path.encode(), *signed, b"Lbc-Authority: " + HOST, *fields, method=method.encode())

    def debug(self, query: str, *fields: bytes) -> VisitorResponse:
        """Ask for the debug page, each time with another nonce.

        :param query: empty, or with its question mark.
        """
        path = f"/_lbc/debug{query}"
        return self.get(path.encode(), *self.signed("GET", path, nonce=f"debug-{next(self._numbers)}"), *fields)

    @property
    def page(self) -> Page:
        """The one page that was kept."""
        assert len(self.captured) == 1, (self.captured, self.counters)
        return self.captured[0][0]
