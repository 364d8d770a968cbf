"""The cookies of a page route its notice, where the notice brings none."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.node.notices.page_cookies import MAX_SECONDS, PageCookies
from lbcompanion.node.notices.spool import Spool
from lbcompanion.settings import LimitsTable, NodeCrawlerTable, StickyTable
from lbcompanion.sticky.reader import CookieReader
from tests.support.in_memory_node import InMemoryNode, at_once, html, read_responses, request

SESSION = b"Cookie: JSESSIONID=5E55104ABCDEF5E55104ABCDEF012345.tc-n1"
NEW_SESSION = b"Set-Cookie: JSESSIONID=0123456789ABCDEF0123456789ABCDEF.tc-n1; Path=/shop; HttpOnly"


@pytest.fixture(name="node")
def _node(tmp_path: Path) -> InMemoryNode:
    return in_memory_node(tmp_path, StickyTable(dialect="jvmroute", cookies=("JSESSIONID",)))


def in_memory_node(folder: Path, sticky: StickyTable, **more: Any) -> InMemoryNode:
    return InMemoryNode(spool=Spool(folder / "state" / "notices.db", at_once), sticky=sticky, **more)


def notice_cookies(node: InMemoryNode, token: str, *fields: bytes) -> dict[str, str]:
    """Post a notice; return the cookies in the spool."""
    assert node.notice_receiver._spool is not None
    body = json.dumps(
        {"token": token, "url": "http://www.example.com/shop", "cookies": {}, "viewed_at": "2026-11-23T21:20:00Z"}
    ).encode()
    visitor = node.connect()
    visitor.send(request(b"/_lbc/notice", b"Content-Length: %d" % len(body), *fields, method=b"POST") + body)
    node.run()
    (answer,) = read_responses(visitor.received, [b"POST"], visitor.eof)
    assert answer.status == 204
    found: list[Any] = []
    node.notice_receiver._spool.oldest(100).addCallback(found.extend)
    (written,) = [notice for _, notice in found if notice.token == token]
    return dict(written.cookies)


def test_the_routing_part_of_the_pages_request_is_used(node: InMemoryNode) -> None:
    node.get(b"/shop", SESSION)
    assert notice_cookies(node, node.page.token) == {"JSESSIONID": ".tc-n1"}


def test_the_session_that_the_page_starts_is_used(node: InMemoryNode) -> None:
    node.application.answers(html(b"<html><head></head><body>x</body></html>", NEW_SESSION))
    node.get(b"/shop")
    assert notice_cookies(node, node.page.token) == {"JSESSIONID": ".tc-n1"}


def test_what_the_page_sets_replaces_what_it_was_asked_with(node: InMemoryNode) -> None:
    node.application.answers(html(b"<html><head></head><body>x</body></html>", NEW_SESSION.replace(b"tc-n1", b"tc-n2")))
    node.get(b"/shop", SESSION)
    assert notice_cookies(node, node.page.token) == {"JSESSIONID": ".tc-n2"}


@pytest.mark.parametrize(
    "deletion",
    [
        b"JSESSIONID=; Max-Age=0",
        b"JSESSIONID=0123456789ABCDEF0123456789ABCDEF.tc-n2; Max-Age=0",
        b"JSESSIONID=deleted.tc-n2; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/shop",
        b"JSESSIONID=0123456789ABCDEF0123456789ABCDEF.tc-n2; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
    ],
)
def test_a_cookie_that_the_page_deletes_is_not_used(node: InMemoryNode, deletion: bytes) -> None:
    node.application.answers(html(b"<html><head></head><body>x</body></html>", b"set-cookie: " + deletion))
    node.get(b"/shop", SESSION)
    assert notice_cookies(node, node.page.token) == {}


def test_the_notices_own_cookies_come_first(node: InMemoryNode) -> None:
    node.get(b"/shop", SESSION)
    own = SESSION.replace(b"tc-n1", b"tc-n3")
    assert notice_cookies(node, node.page.token, own) == {"JSESSIONID": ".tc-n3"}


def test_a_sandboxed_frames_notice_gets_the_cookies_of_its_page(node: InMemoryNode) -> None:
    node.get(b"/shop", SESSION)
    sandboxed = (b"Origin: null", b"Sec-Fetch-Site: cross-site", SESSION.replace(b"tc-n1", b"tc-n3"))
    assert notice_cookies(node, node.page.token, *sandboxed) == {"JSESSIONID": ".tc-n1"}


def test_another_pages_cookies_are_not_used(node: InMemoryNode) -> None:
    node.get(b"/shop", SESSION)
    first = node.page.token
    node.get(b"/shop")
    assert notice_cookies(node, node.captured[-1][0].token) == {}
    assert notice_cookies(node, first) == {"JSESSIONID": ".tc-n1"}


SESSIONS = [b"PHPSESSID=0lbpd3mo3sc7r3v2ot59qdsl7d", b"sessionid=5e55104", b"_app=BAh7B0kiD3Nlc3"]


@pytest.mark.parametrize("session", SESSIONS)
def test_a_session_is_not_written(tmp_path: Path, session: bytes) -> None:
    node = in_memory_node(tmp_path, StickyTable())
    node.get(b"/shop", b"Cookie: " + session)
    assert notice_cookies(node, node.page.token) == {}


def test_nothing_is_kept_where_the_node_writes_the_notices(tmp_path: Path) -> None:
    node = in_memory_node(tmp_path, StickyTable(), crawler=NodeCrawlerTable(notices="server"))
    node.get(b"/shop", SESSION)
    assert not node.page_cookies


def page_cookies(**more: Any) -> tuple[PageCookies, list[float]]:
    clock = [1000.0]
    given = {"max_bytes": LimitsTable().page_cookies_bytes, **more}
    return PageCookies(CookieReader(StickyTable(cookies=("SRV",))), lambda: clock[0], **given), clock


RESPONSE = b"HTTP/1.1 200 OK\r\n\r\n"


def test_cookies_are_forgotten_after_a_while() -> None:
    kept, clock = page_cookies()
    kept.keep("t1", b"SRV=n1", RESPONSE)
    clock[0] += MAX_SECONDS - 1
    kept.keep("t2", b"SRV=n2", RESPONSE)
    kept.tick()
    assert [cookie.value for cookie in kept.routing_cookies("t1")] == ["n1"]
    clock[0] += 2
    kept.tick()
    assert kept.routing_cookies("t1") == ()
    assert [cookie.value for cookie in kept.routing_cookies("t2")] == ["n2"]
    clock[0] += MAX_SECONDS
    kept.tick()
    assert (len(kept), kept.total_bytes) == (0, 0)


def test_memory_is_bounded_in_bytes() -> None:
    dropped: Counter[str] = Counter()
    kept, _ = page_cookies(max_bytes=100_000, dropped=dropped)
    many = b"; ".join(b"c%d=%b" % (number, b"x" * 100) for number in range(100))
    for number in range(1000):
        kept.keep(f"t{number}", b"SRV=n1; " + many[: number * 37 % len(many)], RESPONSE)
        assert kept.total_bytes <= 100_000
    assert kept.routing_cookies("t999") != ()
    assert kept.routing_cookies("t0") == ()
    kept.keep("long", b"SRV=n1; long=" + b"x" * 60_000, RESPONSE)
    assert kept.routing_cookies("long") == ()
    assert dropped == {"memory is full": 1000 - len(kept), "too large": 1}


def test_without_memory_for_them_no_cookies_are_kept(tmp_path: Path) -> None:
    sticky = StickyTable(dialect="jvmroute", cookies=("JSESSIONID",))
    node = in_memory_node(tmp_path, sticky, limits=LimitsTable(page_cookies_bytes=0))
    node.get(b"/shop", SESSION)
    assert notice_cookies(node, node.page.token) == {}
    assert not node.counters.page_cookies_dropped


@pytest.mark.slow
def test_the_estimated_memory_is_the_memory_in_use() -> None:
    kept, _ = page_cookies()
    raw = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-Field-%d: %b\r\n" % (each, b"v" * 40) for each in range(20)) + b"\r\n"
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(500):
            # The bytes are each entry's own, as they are when they come from a socket.
            response = bytes(bytearray(raw))
            kept.keep(f"n1-{number:032}", b"SRV=n1; a=%d" % number, response)
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert used <= kept.total_bytes
