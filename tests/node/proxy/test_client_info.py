"""The visitor's address, scheme and host, and the forwarding fields that the application gets."""

from __future__ import annotations

import re
from ipaddress import ip_network
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.heads import RequestHead
from lbcompanion.node.proxy.client_info import PublicOrigin, address_of, normal_host, scheme_of
from lbcompanion.settings import InjectTable
from tests.support.in_memory_node import HOST, PAGE, InMemoryNode, html

PROXY = (ip_network("192.0.2.0/24"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("trusted", "fields", "told"),
    [
        (False, (), (b"192.0.2.7", b"http", HOST)),
        (
            False,
            (b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-Proto: https", b"X-Forwarded-Host: evil.example"),
            (b"10.0.0.1, 192.0.2.7", b"http", HOST),
        ),
        (
            True,
            (
                b"X-Forwarded-For: 10.0.0.1",
                b"X-Forwarded-For: 10.0.0.2",
                b"X-Forwarded-Proto: https",
                b"X-Forwarded-Host: h",
            ),
            (b"10.0.0.1, 10.0.0.2, 192.0.2.7", b"https", b"h"),
        ),
        (True, (), (b"192.0.2.7", b"http", HOST)),
    ],
)
def test_forwarded_fields(trusted: bool, fields: tuple[bytes, ...], told: tuple[bytes, bytes, bytes]) -> None:
    companion = InMemoryNode(node={"trusted_proxies": PROXY if trusted else ()})
    companion.get(b"/", *fields)
    (seen,) = companion.application.received_requests
    names = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host")
    assert [seen.all(name) for name in names] == [[value] for value in told]
    assert seen.all(b"host") == [HOST]


@pytest.mark.parametrize(("peer", "told"), [(("::1", 1, 0, 0), b"::1"), (("::ffff:192.0.2.9", 1), b"192.0.2.9")])
def test_peers_of_the_newer_protocol(peer: object, told: bytes) -> None:
    companion = InMemoryNode()
    companion.get(peer=peer)
    assert companion.application.received_requests[0].all(b"x-forwarded-for") == [told]


def test_a_peer_on_a_unix_socket_has_no_address_and_is_trusted() -> None:
    companion = InMemoryNode()
    companion.get(b"/", b"X-Forwarded-Proto: https", peer="")
    assert companion.application.received_requests[0].all(b"x-forwarded-for") == []
    assert companion.application.received_requests[0].all(b"x-forwarded-proto") == [b"https"]


@pytest.mark.parametrize(
    ("host", "scheme", "normal"),
    [
        (b"shop.example", "https", "shop.example"),
        (b"SHOP.Example", "https", "shop.example"),
        (b"shop.example.", "http", "shop.example."),
        (b"shop_1.a-b.example:8443", "https", "shop_1.a-b.example:8443"),
        (b"shop.example:443", "https", "shop.example"),
        (b"shop.example:443", "http", "shop.example:443"),
        (b"shop.example:80", "http", "shop.example"),
        (b"shop.example:080", "http", "shop.example"),
        (b"shop.example:", "http", "shop.example"),
        (b"localhost", "http", "localhost"),
        (b"127.0.0.1:8080", "http", "127.0.0.1:8080"),
        (b"[::1]", "http", "[::1]"),
        (b"[2001:DB8::1]:8443", "https", "[2001:db8::1]:8443"),
        (b"[::ffff:192.0.2.1]:80", "http", "[::ffff:192.0.2.1]"),
    ],
)
def test_valid_hosts(host: bytes, scheme: str, normal: str) -> None:
    assert normal_host(host, scheme) == normal


@pytest.mark.parametrize(
    "host",
    [
        b"", b".", b"a..b", b"-a", b"a b", b"a,b", b"a/b", b"a;sandbox", b"a'b", b'a"b', b"a&b", b"a(b)",
        b"a=b", b"a%20b", b"u@a", b"a:b", b"a:0", b"a:65536", b"a:123456", b"a:80:80", b":80", b"[::1", b"::1",
        b"[::1]x", b"[]", b"[1.2.3.4]", b"[:::1]", b"[fe80::1%25eth0]", b"1.2.3", b"1.2.3.256", b"999.1.1.1:80",
        b"a\\b", b"a\xfcb", b"a#", b"a?", b"a*", b"$host", b"a" * 300,
    ],
)  # fmt: skip
def test_no_hosts(host: bytes) -> None:
    assert normal_host(host, "http") == ""


def origin_of(*fields: tuple[bytes, bytes], host: bytes = b"inner.example", trusted: bool = True) -> str:
    head = RequestHead.from_fields(b"GET", b"/", 11, [(b"host", host), *fields])
    origin = PublicOrigin("")
    return origin.of(head, trusted=trusted, scheme=scheme_of(head, trusted=trusted, own="http"))


XFH, XFP, XFPORT, FORWARDED = b"x-forwarded-host", b"x-forwarded-proto", b"x-forwarded-port", b"forwarded"


@pytest.mark.parametrize(
    ("fields", "origin"),
    [
        ([(XFH, b"shop.example, inner.example")], "http://shop.example"),
        ([(XFH, b"shop.example,inner.example")], "http://shop.example"),
        ([(XFH, b"shop.example"), (XFH, b"inner.example")], "http://shop.example"),
        ([(XFH, b" , shop.example")], "http://shop.example"),
        ([(XFH, b"<script>, shop.example:8443")], "http://shop.example:8443"),
        ([(XFH, b'h"><script>alert(4)</script>')], "http://inner.example"),
        ([(XFH, b"unknown;x")], "http://inner.example"),
        ([(XFH, b"")], "http://inner.example"),
        ([(XFH, b"shop.example:443"), (XFP, b"https")], "https://shop.example"),
        ([(XFP, b"https, http")], "https://inner.example"),
        ([(XFP, b"HTTPS"), (XFP, b"http")], "https://inner.example"),
        ([(XFP, b"wss")], "https://inner.example"),
        ([(XFP, b"gopher, https")], "https://inner.example"),
        ([(XFP, b"gopher")], "http://inner.example"),
        ([(XFH, b"shop.example"), (XFPORT, b"8443"), (XFP, b"https")], "https://shop.example:8443"),
        ([(XFH, b"shop.example:81"), (XFPORT, b"8443")], "http://shop.example:81"),
        ([(XFH, b"[2001:db8::1]"), (XFPORT, b"8443")], "http://[2001:db8::1]:8443"),
        ([(XFH, b"shop.example"), (XFPORT, b"8443, 8080")], "http://shop.example:8443"),
        ([(XFH, b"shop.example"), (XFPORT, b"80"), (XFP, b"https")], "https://shop.example"),
        ([(XFH, b"shop.example"), (XFPORT, b"99999")], "http://shop.example"),
        ([(XFH, b"shop.example"), (XFPORT, b"/x")], "http://shop.example"),
        ([(XFPORT, b"8443")], "http://inner.example"),
        ([(FORWARDED, b"for=192.0.2.1;host=shop.example;proto=https")], "https://shop.example"),
        ([(FORWARDED, b'for="[::1]:4";Host="shop.example:8443";Proto=HTTPS, host=inner')], "https://shop.example:8443"),
        ([(FORWARDED, b"for=192.0.2.1"), (FORWARDED, b"host=shop.example")], "http://shop.example"),
        ([(FORWARDED, b'host="a\\"b", host=shop.example')], "http://shop.example"),
        ([(FORWARDED, b'host="shop.\\example"')], "http://shop.example"),
        ([(FORWARDED, b'host="unclosed, host=shop.example')], "http://inner.example"),
        ([(FORWARDED, b"host=other.example"), (XFH, b"shop.example")], "http://shop.example"),
        ([(FORWARDED, b"host=shop.example"), (XFH, b"<>")], "http://shop.example"),
    ],
)
def test_the_origin_by_the_fields_of_a_trusted_proxy(fields: list[tuple[bytes, bytes]], origin: str) -> None:
    assert origin_of(*fields) == origin
    assert origin_of(*fields, trusted=False) == "http://inner.example"


def test_without_a_valid_host_there_is_no_origin() -> None:
    assert origin_of(host=b"a;sandbox") == ""
    assert origin_of((XFH, b"<>"), host=b"") == ""


def test_a_page_without_a_valid_host_is_not_captured() -> None:
    companion = InMemoryNode()
    companion.ask(b"GET /a HTTP/1.1\r\nHost: a;sandbox\r\nConnection: close\r\n\r\n")
    assert companion.counters.not_captured == {"no valid host": 1}
    assert not companion.captured


@given(st.lists(st.sampled_from([XFH, XFP, XFPORT, FORWARDED]), max_size=4), st.data())
def test_an_origin_contains_no_syntax(names: list[bytes], data: st.DataObject) -> None:
    text = st.text("abc.:,;=\"'<>[]1/\\&% \t@()*host", max_size=30).map(str.encode)
    fields = [(name, data.draw(text).strip(b" \t")) for name in names]
    assert re.fullmatch(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", origin_of(*fields))


@pytest.mark.parametrize(
    ("field", "values", "address"),
    [
        (b"x-forwarded-for", [b"203.0.113.9"], "203.0.113.9"),
        (b"x-forwarded-for", [b"203.0.113.9:4711, 192.0.2.3"], "203.0.113.9"),
        (b"x-forwarded-for", [b"198.51.100.1", b"[2001:db8::9]:4711", b"192.0.2.3"], "2001:db8::9"),
        (b"x-forwarded-for", [b"198.51.100.1, 2001:db8::9"], "2001:db8::9"),
        (b"x-forwarded-for", [b"198.51.100.1, unknown"], "unknown"),
        (b"x-forwarded-for", [b"198.51.100.1, \x9b31mred"], "unknown"),
        (b"x-forwarded-for", [b"192.0.2.8, 192.0.2.9"], "192.0.2.8"),
        (b"x-forwarded-for", [b" , "], "192.0.2.1"),
        (b"x-forwarded-for", [], "192.0.2.1"),
        (b"forwarded", [b'for=198.51.100.1, for="[2001:db8::9]:4711";proto=https, for=192.0.2.3'], "2001:db8::9"),
        (b"forwarded", [b"for=_hidden"], "unknown"),
        # A visitor's own element must not become the last one.
        (b"forwarded", [b"for=198.51.100.1", b"proto=https"], "unknown"),
        (b"forwarded", [b'for=198.51.100.1, "', b"for=203.0.113.9"], "unknown"),
        (b"forwarded", [b'for=198.51.100.1;x="', b'for="[2001:db8::9]"'], "unknown"),
        (b"forwarded", [b"for=198.51.100.1, for", b"for=203.0.113.9"], "unknown"),
        (b"forwarded", [b"for=198.51.100.1" + b";a=b" * 400, b"for=203.0.113.9"], "unknown"),
        (b"forwarded", [b"for=198.51.100.1;for=198.51.100.2", b"proto=http;FOR=203.0.113.9"], "203.0.113.9"),
        (b"x-forwarded-for", [b"198.51.100.1, " * 1000 + b"203.0.113.9, 192.0.2.3"], "203.0.113.9"),
        (b"forwarded", [], "192.0.2.1"),
        # IPv4 through a socket for IPv6.
        (b"x-forwarded-for", [b"::ffff:203.0.113.9, ::ffff:192.0.2.3"], "203.0.113.9"),
        (b"x-forwarded-for", [b"::FFFF:203.0.113.9"], "203.0.113.9"),
        (b"forwarded", [b'for="[::ffff:cb00:7109]:4711"'], "203.0.113.9"),
        (b"x-real-ip", [b"203.0.113.9"], "203.0.113.9"),
    ],
)
def test_the_address(field: bytes, values: list[bytes], address: str) -> None:
    head = RequestHead.from_fields(b"GET", b"/", 11, [(field, value) for value in values])
    assert address_of(head, "192.0.2.1", field, lambda peer: peer.startswith("192.0.2.")) == address


@pytest.mark.slow
def test_forwarding_fields_are_read_in_linear_time() -> None:
    """The work of one field of 60 KB is a small multiple of that of two fields of half the size."""
    for value in (b'for="', b"a=b;", b'a="\\"', b"host=a,", b"a=\t", b'"'):

        def seconds(size: int, value: bytes = value) -> float:
            fields = [(FORWARDED, (value * size)[:size]), (XFH, (value * size)[:size])]
            start = process_time()
            for _ in range(5):
                origin_of(*fields)
            return process_time() - start

        seconds(30000)
        assert seconds(60000) < 4 * seconds(30000) + 0.05


@pytest.mark.parametrize("trusted", [False, True])
def test_what_else_proxies_said_goes_on_unchanged(trusted: bool) -> None:
    companion = InMemoryNode(node={"trusted_proxies": PROXY if trusted else ()})
    companion.get(b"/", b"Forwarded: for=192.0.2.9;host=shop.example", b"X-Forwarded-Port: 8443")
    (seen,) = companion.application.received_requests
    assert seen.all(b"forwarded") == [b"for=192.0.2.9;host=shop.example"]
    assert seen.all(b"x-forwarded-port") == [b"8443"]
    assert [seen.all(name) for name in (b"x-forwarded-for", b"x-forwarded-host")] == [[b"192.0.2.7"], [HOST]]


HOSTILE = b'h"><script>alert(4)</script>'


@pytest.mark.parametrize("name", [b"X-Forwarded-Host", b"Forwarded"])
def test_no_text_of_a_visitor_reaches_a_tag_a_policy_or_an_address(name: bytes) -> None:
    companion = InMemoryNode(node={"trusted_proxies": PROXY}, inject=InjectTable(csp="adapt"))
    companion.application.answers(html(PAGE, b"Content-Security-Policy: script-src 'self'; connect-src 'self'"))
    value = b'host="' + HOSTILE.replace(b'"', b'\\"') + b'"' if name == b"Forwarded" else HOSTILE
    answer = companion.get(b"/a", name + b": " + value)
    assert b"alert(4)" not in answer.body
    assert b"alert" not in b"".join(answer.all(b"content-security-policy"))
    assert companion.page.url == "http://www.example.com/a"
