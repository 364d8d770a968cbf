"""The cost of one request or notice for a node: lists that a visitor or a peer repeats, in every place of a request.

An input chooses a place of a request, and what is repeated there (:mod:`fuzz.cost`). A failure is: a message of 60 KB
that takes more than 50 ms of CPU time, or one of twice the size that takes three times as long. Times are compared
several times before a failure is reported.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from itertools import count
from urllib.parse import quote_from_bytes

from fuzz import cost
from lbcompanion.model import Page
from lbcompanion.protocol.copies import page_to_frame
from lbcompanion.settings import LimitsTable, NodeCrawlerTable, StickyTable
from tests.support.cost_node import OWN_FIELDS, REQUEST_FIELDS, TARGETS, CostNode
from tests.support.cpu_cost import ELEMENTS
from tests.support.in_memory_node import EPOCH, HOST, html, request

_NOTICE_BYTES = 16_000
#: A request is sent so often at most, to take the least of the times.
_MOST_MEASURED = 4
_numbers = count()
_LINES = 20_000
_OWN_FIELDS = sorted(OWN_FIELDS)
TOKENS: tuple[bytes, ...] = (
    *(element.encode() for element in ELEMENTS),
    *(b",", b"; ", b" ", b"{}", b"=", b'"', b"/", b"/.", b"/..", b"//", b"%2f", b"%2e%2e", b";a=b", b"%c3", b"&a={}"),
    *(b'"a{}":"b",', b'{"a":', b"[", b"\\u0041", b"1", b"\\", b"SRV{}=n1; ", b"JSESSIONID=a{}.n1; ", b"q=0.{}", b":"),
    *(b"sig1=(", b"sig{}=:YQ==:", b'"@method" ', b";created=1", b"0\r\n", b"1;a=b\r\nx\r\n", b"a;b={}\r\n", b"Cookie"),
    *(b"X-A{}: b\r\n", b"Cookie: a{}=b\r\n", b"Via: 1.1 a\r\n", b"[::1]:{}", b"for=", b"unknown", b"*/*;q=0.{}"),
)


@cache
def _node(variant: int) -> CostNode:
    """A node for each kind of settings."""
    sticky = (
        StickyTable(),
        StickyTable(cookies=("SRV", "/^[A-Z]+$/")),
        StickyTable("generic", ("/./",), part="after ."),
    )
    notices = NodeCrawlerTable(notices=("server", "browser")[variant & 1])
    return CostNode(crawler=notices, sticky=sticky[variant % len(sticky)], limits=LimitsTable(header_lines=_LINES))


def _asking(variant: int, raw: bytes) -> Callable[[], object]:
    node = _node(variant % 6)
    return lambda: node.ask(raw)


def _value(body: bytes) -> bytes:
    return body.translate(None, b"\r\n\0")


def _field(variant: int, body: bytes) -> Callable[[], object]:
    name = REQUEST_FIELDS[variant % len(REQUEST_FIELDS)]
    return _asking(variant, request(b"/p", name.encode() + b": " + _value(body)))


def _own_field(variant: int, body: bytes) -> Callable[[], object]:
    name, target = _OWN_FIELDS[variant % len(_OWN_FIELDS)], TARGETS[variant % len(TARGETS)]
    return _asking(variant, request(target.encode(), name.encode() + b": " + _value(body)))


def _signed_field(variant: int, body: bytes) -> Callable[[], object]:
    """A field of a request that carries a good signature: a crawler or a peer is the sender."""
    node = _node(variant % 6)
    name = ("Lbc-Nonce", "Lbc-Hop", "Lbc-Echo", "Accept", "Accept-Encoding", "Range", "If-None-Match")[variant % 7]
    path = f"/_lbc/page/{node.node.tokens.mint()}"
    lines = (*node.node.signed("GET", path), b"Lbc-Authority: " + HOST, name.encode() + b": " + _value(body))
    raw = request(path.encode(), *lines)
    return lambda: node.ask(raw)


def _target(body: bytes) -> bytes:
    return body.translate(bytes(byte if 32 < byte < 127 else 43 for byte in range(256)))


def _path(variant: int, body: bytes) -> Callable[[], object]:
    return _asking(variant, request((b"/", b"/_lbc/page/", b"/_lbc/", b"http://a/")[variant % 4] + _target(body)))


def _query(variant: int, body: bytes) -> Callable[[], object]:
    return _asking(variant, request((b"/?", b"/_lbc/fetch-from.js?v=", b"/_lbc/debug?")[variant % 3] + _target(body)))


def _host(variant: int, body: bytes) -> Callable[[], object]:
    return _asking(variant, request(host=_value(body)))


def _lines(variant: int, body: bytes) -> Callable[[], object]:
    lines = [line for line in body.replace(b"\0", b"").splitlines() if line]
    if len(lines) < 2:
        lines = [b"X-A%d: b" % number + body[:40].translate(None, b"\r\n\0") for number in range(len(body) // 50)]
    return _asking(variant, request(b"/p", *lines[: _LINES - 10]))


def _raw(variant: int, body: bytes) -> Callable[[], object]:
    """The bytes of a chunked body, or of requests one behind the other."""
    if variant & 1:
        return _asking(variant, body)
    return _asking(variant, request(b"/p", b"Transfer-Encoding: chunked", method=b"POST") + body)


def _notice(variant: int, body: bytes) -> Callable[[], object]:
    node = _node(variant % 6)
    text = body[:_NOTICE_BYTES].decode("utf-8", "replace")
    url = "http://www.example.com/"
    entry = {"token": node.node.tokens.mint(), "url": url, "viewed_at": "2026-01-01T00:00:00Z", "cookies": {}}
    words = text.split(" ")
    cookies = (
        {"SRV": text},
        {word: f"n{number}" for number, word in enumerate(words)},
        dict.fromkeys(words, text[:40]),
    )
    written = (
        body[:_NOTICE_BYTES],
        json.dumps({**entry, "url": url + text}, ensure_ascii=bool(variant & 8)).encode(),
        json.dumps({**entry, "cookies": cookies[variant // 4 % 3]}, ensure_ascii=False).encode(),
        json.dumps({**entry, ("token", "viewed_at", "by", text)[variant // 4 % 4]: text}).encode(),
    )[variant % 4][:_NOTICE_BYTES]
    return _asking(variant, request(b"/_lbc/notice", b"Content-Length: %d" % len(written), method=b"POST") + written)


def _copy_of_a_peer(variant: int, body: bytes) -> Callable[[], object]:
    node = _node(variant % 6)
    token, text = node.node.tokens.mint(), body.decode("latin-1")
    page = Page(token, "http://www.example.com/", "GET", 200, "text/html", EPOCH, b"a")
    frame = page_to_frame(page, age=1.0)
    described = frame.values["page"]
    name = sorted(described)[variant % len(described)]
    frame.values["page"] = {**described, name: page.url + text if name == "url" else text}
    written = body if variant & 128 else frame.written()
    path = f"/_lbc/page/{token}"
    lines = (*node.node.signed("PUT", path, written), b"Content-Length: %d" % len(written))
    raw = request(path.encode(), *lines, method=b"PUT") + written
    return lambda: node.ask(raw)


def _debug(variant: int, body: bytes) -> Callable[[], object]:
    node = _node(variant % 6)
    name = ("url", "method", "answer", "cookie", "compare")[variant % 5]
    text = quote_from_bytes(body[:20_000])
    path = f"/_lbc/debug?{name}={text}" + ("&url=/p" if name != "url" else "")
    nonces = (f"debug-{next(_numbers)}" for _ in range(_MOST_MEASURED))
    requests = [request(path.encode(), *node.node.signed("GET", path, nonce=nonce)) for nonce in nonces]
    return lambda: node.ask(requests.pop())


PLACES: Mapping[str, cost.Place] = {
    "a field": _field,
    "a field of an own endpoint": _own_field,
    "a field of a signed request": _signed_field,
    "the path": _path,
    "the query": _query,
    "Host": _host,
    "many lines": _lines,
    "raw bytes": _raw,
    "a notice": _notice,
    "a peer's copy": _copy_of_a_peer,
    "the debug page": _debug,
}


def _check(data: bytes) -> Hashable:
    for variant in range(6):
        _node(variant).answer = html()
    return cost.measure(PLACES, data)


TARGET = cost.target(PLACES, TOKENS, _check)
