"""Connections that begin with a PROXY header, in memory: who may send one, how long, and what the visitor is then."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from lbcompanion.node.proxy.proxy_header import ProxyHeader
from lbcompanion.node.proxy.proxy_protocol import ClientAddressTransport, PendingConnections, ProxyHeaderHandler
from lbcompanion.node.proxy.visitor import VisitorConnection
from lbcompanion.settings import FetchTable, LimitsTable
from lbcompanion.testing.memory_transport import MemoryTransport, RemoteEnd
from tests.support.in_memory_node import InMemoryNode, VisitorResponse, read_responses, request
from tests.support.proxy_headers import FOUR, NO_TLS, SIX, TLS, UNIX, v2

BALANCER = ("10.0.0.1", 5000)
LINE = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n"


class Proxied(InMemoryNode):
    def __init__(self, **tables: Any) -> None:
        super().__init__(node={"trusted_proxies": (ip_network("10.0.0.0/8"),)}, **tables)
        self.pending = PendingConnections(self.context)

    def connect(self, peer: object = BALANCER) -> RemoteEnd:
        relay = _Relay()

        def done(transport: Any, header: ProxyHeader, rest: bytes) -> None:
            relay.handler = VisitorConnection(self.context)
            relay.handler.connection_made(ClientAddressTransport(transport, header.source, encrypted=header.encrypted))
            if rest:
                relay.handler.data_received(rest)

        relay.handler = ProxyHeaderHandler(self.pending, done)
        return MemoryTransport(self.loop, relay, peer).connect()

    def ask(self, *pieces: bytes, **more: Any) -> list[VisitorResponse]:
        return super().ask(*pieces, **{"peer": BALANCER, **more})

    def pass_time(self, seconds: float, step: float = 1.0) -> None:
        super().pass_time(seconds, step)
        self.pending.tick(self.clock.seconds())
        self.run()


class _Relay:
    """``set_protocol`` of a transport: another handler replaces the first one."""

    handler: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.handler, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("header", "peer", "scheme"),
    [
        (LINE, b"203.0.113.9", b"http"),
        (v2(0x11, FOUR + TLS), b"203.0.113.9", b"https"),
        (v2(0x11, FOUR + NO_TLS), b"203.0.113.9", b"http"),
        (v2(0x21, SIX), b"2001:db8::9", b"http"),
        (b"PROXY UNKNOWN\r\n", b"10.0.0.1", b"http"),
        (v2(0x31, UNIX), b"10.0.0.1", b"http"),
        (v2(0x00, b"", command=0x20), b"10.0.0.1", b"http"),
    ],
)
def test_the_visitor_is_who_the_balancer_says_at_any_cut(header: bytes, peer: bytes, scheme: bytes) -> None:
    raw = header + request(b"/a")
    for cut in range(1, len(raw)):
        companion = Proxied()
        (answer,) = companion.ask(raw[:cut], raw[cut:])
        assert answer.status == 200
        (seen,) = companion.application.received_requests
        assert seen.get(b"x-forwarded-for") == peer
        assert seen.get(b"x-forwarded-proto") == scheme
        assert len(companion.pending) == 0


def test_a_stranger_is_closed_unheard() -> None:
    companion = Proxied()
    visitor = companion.connect(("198.51.100.1", 4711))
    visitor.send(LINE + request())
    companion.run()
    assert visitor.aborted
    assert visitor.received == b""
    assert companion.application.received_requests == []
    assert companion.counters.connections_refused == 1
    assert companion.logged == ["PROXY header refused: 198.51.100.1: no trusted proxy"]


def test_a_balancer_without_a_header_is_closed() -> None:
    companion = Proxied()
    visitor = companion.connect()
    visitor.send(request())
    companion.run()
    assert (visitor.aborted, visitor.received, companion.application.received_requests) == (True, b"", [])


def test_a_header_on_a_listener_that_expects_none_is_no_request() -> None:
    companion = InMemoryNode(node={"trusted_proxies": (ip_network("10.0.0.0/8"),)})
    for raw in (LINE, v2(0x11, FOUR)):
        (answer,) = companion.ask(raw + request(), peer=BALANCER)
        assert answer.status == 400


@pytest.mark.parametrize("sent", [b"", LINE[:10], v2(0x11, FOUR)[:20]])
def test_a_header_has_its_time(sent: bytes) -> None:
    companion = Proxied(limits=LimitsTable(head_seconds=5))
    visitor = companion.connect()
    visitor.send(sent)
    companion.pass_time(4)
    assert not visitor.closed
    companion.pass_time(2)
    assert visitor.aborted
    assert companion.counters.timeouts == {"proxy header": 1}
    assert len(companion.pending) == 0


def test_those_who_wait_are_bounded_in_number() -> None:
    companion = Proxied(limits=LimitsTable(connections=3))
    visitors = [companion.connect() for _ in range(5)]
    companion.run()
    assert [visitor.aborted for visitor in visitors] == [False] * 3 + [True] * 2
    for visitor in visitors:
        visitor.send_eof()
    companion.run()
    assert len(companion.pending) == 0
    assert all(visitor.closed for visitor in visitors)


def test_the_header_address_counts_for_the_limit_of_each_address() -> None:
    companion = Proxied(limits=LimitsTable(connections_per_address=1))
    first = companion.connect()
    first.send(LINE)
    companion.run()
    other = companion.connect()
    other.send(LINE.replace(b"203.0.113.9", b"203.0.113.10"))
    companion.run()
    second = companion.connect()
    second.send(LINE)
    companion.run()
    assert not first.closed
    assert not other.closed
    (answer,) = read_responses(second.received, [b"GET"], True)
    assert answer.status == 503


def test_the_header_address_counts_for_who_may_fetch() -> None:
    companion = Proxied(fetch=FetchTable(addresses=(ip_network("203.0.113.9"),)))
    companion.on_captured = lambda page, cookie: (
        companion.captured.append((page, cookie)),
        companion.copies.store_page(page),
    )[0]
    companion.ask(LINE + request())
    path = f"/_lbc/page/{companion.page.token}"
    for line, status in ((LINE, 200), (LINE.replace(b"113.9", b"113.8"), 403)):
        signed = companion.signed("GET", path)
        (answer,) = companion.ask(line + request(path.encode(), *signed))
        assert answer.status == status
