"""Drives the product for the golden tests: the only module here that imports from it or from other tests' rigs.

Whoever moves or renames modules changes the imports here; neither the tests nor the files of ``expected`` change.
"""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from unittest.mock import patch

from click.testing import CliRunner
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.web.server import Site

from lbcompanion import __version__
from lbcompanion.cli import main
from lbcompanion.crawler.admin.listener import admin_site as crawler_admin_site
from lbcompanion.crawler.crawl.intake import Intake, IntakeLimits, intake_site
from lbcompanion.html.snippets import integrity_of
from lbcompanion.model import Miss, MissReason, Page
from lbcompanion.node.copies.peers import Peers
from lbcompanion.node.metrics.admin import admin_site as node_admin_site
from lbcompanion.node.metrics.status import NodeStatus
from lbcompanion.node.notices.sender import NoticeSender
from lbcompanion.node.notices.spool import Spool
from lbcompanion.protocol.copies import page_to_frame
from lbcompanion.protocol.notices import BATCH_LIMIT_BYTES as MOST_NOTICES_BYTES
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.tokens import Tokens, digest_of, repr_digest
from lbcompanion.settings import CaptureTable, FetchTable, InjectTable, LimitsTable, StickyTable, StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import FailingStore
from lbcompanion.testing.strategies import SECRET
from tests.support.crawler_api import admin_resource
from tests.support.in_memory_crawler import InMemoryCrawler
from tests.support.in_memory_node import EPOCH, PAGE, InMemoryNode, at_once, html, request
from tests.support.simulated_farm import SECRET as FARM_SECRET
from tests.support.simulated_farm import SimulatedFarm

__all__ = ["EPOCH", "MOST_NOTICES_BYTES", "PAGE", "SECRET", "Crawling", "Node", "command", "html", "request"]

_TABLES = {
    "capture": CaptureTable,
    "fetch": FetchTable,
    "inject": InjectTable,
    "limits": LimitsTable,
    "sticky": StickyTable,
    "store": StoreTable,
}
_NOBODY = IPv4Address("TCP", "192.0.2.9", 4711)
_SCRIPT = InMemoryNode().script
SCRIPT_VERSION, SCRIPT_INTEGRITY = _SCRIPT.version, integrity_of(_SCRIPT.source)


def network(text: str) -> Any:
    """A network as the settings hold it."""
    return ip_network(text)


def token_of(owner: str, seed: bytes = b"x", secret: bytes = SECRET) -> str:
    """A token of another node, or of another farm."""
    return Tokens(secret, owner, lambda count: (seed * count)[:count]).mint()


class _Odd(MemoryStore):
    """Raises what no store should."""

    def take(self, token: str) -> Any:
        raise ZeroDivisionError

    peek = drop = take


class Node:
    """A companion in memory; tables of its settings are given as mappings.

    :param folder: where its notices wait; None: it sends none on.
    :param most: how many may wait there.
    :param fails: its store fails.
    :param peers: name to origin of other nodes; what goes to them is in :attr:`wire`.
    """

    def __init__(
        self,
        folder: Path | None = None,
        fails: bool = False,
        peers: dict[str, str] | None = None,
        name: str = "n1",
        most: int = 10,
        shared: bool = True,
        node: dict[str, Any] | None = None,
        **tables: Any,
    ) -> None:
        made = {key: _TABLES[key](**value) for key, value in tables.items()}
        store = FailingStore(MemoryStore(StoreTable(), lambda: 0.0)) if fails else made.pop("store", None)
        self.wire = Wire()
        more: dict[str, Any] = {}
        if peers is not None:
            numbers = itertools.count(1)
            others = Peers(
                node=name,
                secret=SECRET,
                prefix="/_lbc",
                addresses=peers,
                reactor=self.wire.reactor,
                nonces=lambda: f"peer-nonce-{next(numbers)}",
                now=lambda: EPOCH + 1000,
                max_bytes=1 << 20,
            )
            more["ask_peers"] = others.ask_peers
            self.peers = others
        self.spool = None if folder is None else Spool(folder / "notices.db", at_once, most)
        self.rig = InMemoryNode(
            store=store, spool=self.spool, name=name, shared=shared, node=node or {}, **more, **made
        )
        self.application = self.rig.application

    def exchange(self, *pieces: bytes, peer: object = ("192.0.2.7", 4711), seconds: float = 0.0) -> bytes:
        """The bytes that a visitor receives for this input, after some time."""
        visitor = self.rig.connect(peer)
        visitor.send(*pieces)
        self.rig.run()
        if seconds:
            self.rig.pass_time(seconds)
        return visitor.received

    def get(self, target: str, *fields: bytes, method: str = "GET", body: bytes | None = None, **more: Any) -> bytes:
        """The bytes that a visitor receives for a request."""
        length = () if body is None else (b"Content-Length: %d" % len(body),)
        raw = request(target.encode(), *fields, *length, method=method.encode())
        return self.exchange(raw + (body or b""), **more)

    def signed(self, method: str, path: str, body: bytes | None = None, nonce: str = "nonce-1") -> list[bytes]:
        """The field lines of a signed request."""
        return self.rig.signed(method, path, body, nonce)

    def fetch(self, token: str, method: str = "GET", *fields: bytes) -> bytes:
        """The bytes that the crawler receives for a token."""
        path = f"/_lbc/page/{token}"
        return self.get(path, *self.signed(method, path), b"Lbc-Authority: www.example.com", *fields, method=method)

    def put(self, path: str, body: bytes, *fields: bytes) -> bytes:
        """The bytes that a peer receives after it put a copy."""
        return self.get(path, *self.signed("PUT", path, body), b"Lbc-Hop: n2", *fields, method="PUT", body=body)

    def view(self, target: str = "/shop?q=1", *fields: bytes) -> str:
        """View a page; its token."""
        self.get(target, *fields)
        return str(self.rig.captured[-1][0].token)

    def miss(self, reason: str, detail: str = "") -> str:
        """A token whose copy is gone for that reason."""
        token = self.rig.tokens.mint()
        self.rig.store.mark(token, Miss(MissReason(reason), detail))
        return token

    def miss_token(self) -> str:
        """A token of which nothing is known."""
        return self.rig.tokens.mint()

    def is_pending(self) -> str:
        """A token whose page is not whole yet."""
        return self.rig.copies.mint_token()

    def raises(self) -> None:
        """Have the store raise what none should."""
        self.rig.copies.use_store(_Odd(StoreTable(), lambda: 0.0))

    @property
    def received(self) -> list[bytes]:
        """The bytes that the application received, by connection."""
        return [connection.remote.received for connection in self.application.connections]

    def deliver(self) -> bytes:
        """The request to the crawler's intake with the waiting notices."""
        assert self.spool is not None
        notice_sender = NoticeSender(
            intakes=["http://192.0.2.80:8470"],
            secret=SECRET,
            spool=self.spool,
            reactor=self.wire.reactor,
            nonces=lambda: "notice-nonce",
            now=self.rig.now,
            counters=self.rig.counters,
            log=self.rig.log,
        )
        notice_sender.wake()
        self.wire.reactor.advance(0.1)
        return self.wire.written()

    def ask_peer(self, token: str, method: str, peer: Node) -> tuple[bytes, bytes]:
        """Ask for a copy of another node's; what goes to the peer, which answers, and what comes of it."""
        path = f"/_lbc/page/{token}"
        visitor = self.rig.connect()
        visitor.send(request(path.encode(), *self.signed(method, path), method=method.encode()))
        self.rig.run()
        written = self.wire.written()
        self.wire.answer(peer.exchange(written))
        self.rig.run()
        return written, visitor.received

    def tell(self, cookie: bytes) -> None:
        """The node's own notice of the page that was viewed last."""
        self.rig.notice_receiver.record_server_notice(self.rig.captured[-1][0], cookie)

    def admin(self, raw: bytes, ready: bool = True, workers: bool = False) -> bytes:
        """The answer of the admin listener."""
        gauges = {"ready": ("1 where balancers should send visitors here", float(ready))}
        wrong = [] if ready else ["the application cannot be reached"]
        told = [{"number": 0, "pid": 4711, "serves": True}] if workers else []
        node_status = NodeStatus("n1", self.rig.counters, gauges, ready, wrong, told)
        return answered(node_admin_site(lambda: succeed(node_status), lambda: None), raw)


class Wire:
    """The requests that Twisted's client sends to other servers, over connections in memory."""

    def __init__(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self._seen = 0
        self._protocol: Any = None
        self._transport: Any = None

    def written(self) -> bytes:
        """Connect what waits to be connected; what the client wrote."""
        host, port, factory, _, _ = self.reactor.tcpClients[self._seen]
        self._seen += 1
        self._protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
        self._transport = StringTransport()
        self._protocol.makeConnection(self._transport)
        return bytes(self._transport.value())

    def answer(self, data: bytes) -> None:
        """The server's answer."""
        self._protocol.dataReceived(data)
        self.reactor.advance(0.1)


def frame_of(token: str, body: bytes, age: float = 1.0, **more: Any) -> bytes:
    """A copy as a node gives it to a peer."""
    page = {
        "token": token,
        "url": "https://www.example.com/caf\u00e9?q=1",
        "method": "POST",
        "status": 200,
        "content_type": "text/html; charset=utf-8",
        "captured_at": EPOCH,
        "body": body,
        "sha256": digest_of(body),
    }
    return page_to_frame(Page(**page | more), age=age).written()


def packed(body: bytes) -> bytes:
    """A body in gzip."""
    return gzip.compress(body, mtime=0)


def unpacked(body: bytes, chunked: bool) -> bytes:
    """A body out of gzip."""
    if chunked:
        pieces, rest = [], body
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            pieces.append(rest[: int(size, 16)])
            rest = rest[int(size, 16) + 2 :]
        body = b"".join(pieces)
    return gzip.decompress(body)


def give(node: Node, name: str, token: str, body: bytes) -> bytes:
    """The request that puts a copy to a peer."""
    giving = node.peers.put(name, token, frame_of(token, body), repr_digest(digest_of(body)), 10.0)
    Deferred.fromCoroutine(giving)
    return node.wire.written()


def answered(site: Site, raw: bytes) -> bytes:
    """The bytes that a Twisted site writes for this input."""
    transport = StringTransport()
    protocol: Any = site.buildProtocol(_NOBODY)
    protocol.makeConnection(transport)
    protocol.dataReceived(raw)
    written = bytes(transport.value())
    protocol.connectionLost(None)
    return written


class Crawling:
    """A crawler and its farm, in memory, with tokens and nonces that are the same each time."""

    def __init__(self, folder: Path) -> None:
        self.farm = SimulatedFarm()
        for name, node in self.farm.nodes.items():
            count = itertools.count()
            node._tokens = Tokens(FARM_SECRET, name, lambda size, at=count: bytes(next(at) % 256 for _ in range(size)))
        sticky = StickyTable("haproxy-insert", cookies=("SRV",))
        self.rig = InMemoryCrawler(self.farm, folder, sticky=sticky)
        self.folder = folder
        admin = admin_resource(self.rig)
        self._admin = crawler_admin_site(admin, self.farm.clock)
        self.asked: list[str] = []
        for node in self.farm.nodes.values():
            node.override = self._note

    def _note(self, asked: Any) -> None:
        lines = [f"{asked.method.decode()} {asked.uri.decode()}"]
        for name, values in sorted(asked.requestHeaders.getAllRawHeaders()):
            lines += [f"{name.decode()}: {value.decode()}" for value in values]
        self.asked.append("\n".join(lines))

    def capture(self, node: str, body: bytes, path: str, **more: Any) -> str:
        """A page that a node holds; its token."""
        return self.farm.nodes[node].capture(body, path, **more)

    def asset(self, path: str, kind: str, body: bytes) -> None:
        """A file that all nodes serve."""
        for node in self.farm.nodes.values():
            node.assets[path] = (kind, body)

    def lose(self, node: str, token: str, reason: str) -> None:
        """A node has that copy no more."""
        self.farm.nodes[node].forget(token, reason)

    def take(self, token: str, cookies: dict[str, str] | None = None) -> None:
        """A notice came."""
        self.rig.take(token, cookies)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.rig.run(seconds)

    def admin(self, raw: bytes) -> bytes:
        """The answer of the admin listener."""
        return answered(self._admin, raw)

    def intake(self, raw: bytes) -> bytes:
        """The answer of the intake."""
        sites = self.farm.settings(self.folder).sites
        intake = Intake(
            secret=FARM_SECRET,
            sites=sites,
            accept=lambda arrivals, losses: succeed(len(arrivals)),
            now=self.farm.now,
            count_notices=lambda *_: None,
        )
        return answered(intake_site(intake, IntakeLimits(self.farm.clock)), raw)

    def signed_notices(self, body: bytes) -> bytes:
        """A whole request to the intake."""
        fields = Signer(FARM_SECRET).sign("POST", "http://crawler:8470/notices", "n", self.farm.now(), body)
        lines = [f"{key}: {value}".encode() for key, value in fields]
        return b"\r\n".join(
            [b"POST /notices HTTP/1.1", b"Host: crawler:8470", b"Content-Length: %d" % len(body), *lines, b"", body]
        )

    def records(self) -> Iterator[tuple[str, bytes]]:
        """The archive's files: name, and records as they are written, one behind the other."""
        for path in sorted((self.folder / "archive").glob("*.warc.gz")):
            yield path.name, gzip.decompress(path.read_bytes())

    def close(self) -> None:
        """The end."""
        self.rig.close()


@contextmanager
def crawling(folder: Path) -> Iterator[Crawling]:
    """A crawler that is closed behind the test; what should be unguessable is the same each time."""
    with patch("os.urandom", lambda count: b"\x07" * count):
        made = Crawling(folder)
        try:
            yield made
        finally:
            made.close()


def command(*arguments: str) -> tuple[int, str, str]:
    """Run ``lbcompanion``: exit status, standard output, standard error."""
    done = CliRunner().invoke(main, list(arguments), terminal_width=110, prog_name="lbcompanion")
    return done.exit_code, done.stdout, done.stderr


def commands() -> dict[str, list[str]]:
    """The commands, each with its parameters as they are typed."""
    return {
        name: [("|".join(one.opts) if one.opts else one.name) or "" for one in each.params]
        for name, each in sorted(main.commands.items())
    }


def without_version(text: str) -> str:
    """Text without the product's own version and the script's."""
    return (
        re.sub(rf"\b{re.escape(__version__)}\b", "{version}", text)
        .replace(SCRIPT_VERSION, "{script}")
        .replace(SCRIPT_INTEGRITY, "{integrity}")
    )
