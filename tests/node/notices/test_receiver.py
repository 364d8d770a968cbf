"""Notices: taken in, reduced to routing cookies, written durably."""

from __future__ import annotations

import json
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.http1.heads import RequestHead
from lbcompanion.model import Notice, NoticeSource
from lbcompanion.node.notices.receiver import MAX_URL_BYTES
from lbcompanion.node.notices.spool import Spool
from lbcompanion.node.proxy.client_info import PublicOrigin
from lbcompanion.protocol.notices import write_notices
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.protocol.visitors import is_pseudonym
from lbcompanion.settings import StickyTable, StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import SlowStore
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import InMemoryNode, VisitorResponse, at_once, read_responses, request
from tests.support.own_answers import FailingTakeStore

URL = "https://www.example.com/shop"
VIEWED = "2026-11-23T21:20:00Z"


@pytest.fixture(name="companion")
def _companion(tmp_path: Path) -> InMemoryNode:
    return InMemoryNode(
        spool=Spool(tmp_path / "state" / "notices.db", at_once),
        sticky=StickyTable(dialect="auto", cookies=("SRV", "JSESSIONID")),
    )


def waiting(companion: InMemoryNode) -> list[Notice]:
    found: list[Any] = []
    assert companion.notice_receiver._spool is not None
    companion.notice_receiver._spool.oldest(100).addCallback(found.extend)
    return [notice for _, notice in found]


def post(companion: InMemoryNode, said: object, *fields: bytes) -> VisitorResponse:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    visitor = companion.connect()
    visitor.send(request(b"/_lbc/notice", b"Content-Length: %d" % len(body), *fields, method=b"POST") + body)
    companion.run()
    (answer,) = read_responses(visitor.received, [b"POST"], visitor.eof)
    return answer


def notice(token: str, /, **more: object) -> dict[str, object]:
    return {"token": token, "url": URL, "cookies": {}, "viewed_at": VIEWED} | more


def test_a_notice_is_written_with_the_routing_cookies_of_its_request(companion: InMemoryNode) -> None:
    companion.get(b"/shop")
    token = companion.page.token
    cookie = b"Cookie: SRV=n1; sessionid=5e55104; JSESSIONID=5e55104ABCDEF5e55104ABCDEF012345.node1"
    answer = post(companion, notice(token, cookies={"SRV": "n1", "other": "x"}), cookie, b"Content-Type: text/plain")
    assert (answer.status, answer.body) == (204, b"")
    (written,) = waiting(companion)
    assert dict(written.cookies) == {"SRV": "n1", "JSESSIONID": ".node1"}
    assert (written.token, written.url, written.source) == (token, URL, NoticeSource.BROWSER)
    assert written.page_url == "http://www.example.com/shop"
    assert written.noticed_at == companion.now()
    assert companion.wake_count == 1
    assert companion.counters.notices == {"taken": 1}


def test_behind_a_prefix_the_scripts_value_routes(companion: InMemoryNode) -> None:
    post(companion, notice(companion.tokens.mint(), cookies={"JSESSIONID": "n2~abc"}), b"Cookie: JSESSIONID=abc")
    assert dict(waiting(companion)[0].cookies) == {"JSESSIONID": "n2~"}


def test_a_notice_of_another_nodes_page_is_taken_too(companion: InMemoryNode) -> None:
    token = Tokens(SECRET, "n2", bytes).mint()
    assert post(companion, notice(token)).status == 204
    assert waiting(companion)[0].page_url == ""


def test_a_notice_waits_once(companion: InMemoryNode) -> None:
    token = companion.tokens.mint()
    assert [post(companion, notice(token)).status for _ in range(3)] == [204] * 3
    assert len(waiting(companion)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"token": "nonsense"},
        {"token": 5},
        {"token": Tokens(b"another farm", "n1", bytes).mint()},
        {"url": "javascript:alert(1)"},
        {"cookies": ["SRV"]},
        {"cookies": {"SRV": 5}},
        {"viewed_at": "yesterday"},
    ],
)
def test_what_is_malformed_gets_400(companion: InMemoryNode, change: dict[str, object]) -> None:
    assert post(companion, notice(companion.tokens.mint(), **change)).status == 400
    assert waiting(companion) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"a":1,"a":2}', b"[" * 5000, b"null"])
def test_what_is_no_json_object_gets_400(companion: InMemoryNode, body: bytes) -> None:
    assert post(companion, body).status == 400


@pytest.mark.parametrize(("size", "status"), [(16384, 204), (16385, 413), (16386, 413), (300_000, 413)])
@pytest.mark.parametrize("chunks", [True, False])
def test_a_notice_has_a_limit(companion: InMemoryNode, size: int, status: int, chunks: bool) -> None:
    body = json.dumps(notice(companion.tokens.mint())).encode()
    body += b" " * (size - len(body))
    visitor = companion.connect()
    if chunks:
        head = request(b"/_lbc/notice", b"Transfer-Encoding: chunked", method=b"POST")
        visitor.send(head, b"%x\r\n" % size, body[:9000], body[9000:], b"\r\n0\r\n\r\n")
    else:
        visitor.send(request(b"/_lbc/notice", b"Content-Length: %d" % size, method=b"POST"), body[:9000], body[9000:])
    companion.run()
    (answer,) = read_responses(visitor.received, [b"POST"], visitor.eof)
    assert answer.status == status


def test_an_expectation_is_met(companion: InMemoryNode) -> None:
    body = json.dumps(notice(companion.tokens.mint())).encode()
    visitor = companion.connect()
    visitor.send(request(b"/_lbc/notice", b"Expect: 100-continue", b"Content-Length: %d" % len(body), method=b"POST"))
    companion.run()
    assert visitor.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    visitor.send(body)
    companion.run()
    assert read_responses(visitor.received, [b"POST"], False)[0].status == 204


def test_a_disk_that_fails_is_reported(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    companion = InMemoryNode(spool=Spool(tmp_path / "state" / "notices.db", at_once))
    assert post(companion, notice(companion.tokens.mint())).status == 503
    (tmp_path / "state").unlink()
    assert post(companion, notice(companion.tokens.mint())).status == 204


def test_without_a_crawler_notices_go_nowhere() -> None:
    companion = InMemoryNode()
    assert post(companion, notice(companion.tokens.mint())).status == 204
    assert companion.counters.notices == {"not sent on": 1}


def test_a_store_that_fails_does_not_lose_the_notice(companion: InMemoryNode) -> None:
    companion.copies.use_store(SlowStore(companion.store, companion.clock, 0.5))
    token = companion.tokens.mint()
    visitor = companion.connect()
    body = json.dumps(notice(token)).encode()
    visitor.send(request(b"/_lbc/notice", b"Content-Length: %d" % len(body), method=b"POST") + body)
    companion.run()
    companion.pass_time(1)
    assert read_responses(visitor.received, [b"POST"], False)[0].status == 204
    companion.copies.use_store(FailingTakeStore(StoreTable(), companion.now))
    assert post(companion, notice(companion.tokens.mint())).status == 204


def test_the_node_tells_of_its_pages_itself(companion: InMemoryNode) -> None:
    companion.on_captured = companion.notice_receiver.record_server_notice
    companion.get(b"/shop", b"Cookie: SRV=n1; sessionid=5e55104")
    (written,) = waiting(companion)
    assert dict(written.cookies) == {"SRV": "n1"}
    assert (written.source, written.url, written.page_url) == (
        NoticeSource.SERVER,
        *["http://www.example.com/shop"] * 2,
    )


OWN = b"Origin: http://www.example.com"
FOREIGN = b"Origin: https://evil.example"
CROSS_SITE, SAME_SITE, SAME_ORIGIN = (
    b"Sec-Fetch-Site: " + site for site in (b"cross-site", b"same-site", b"same-origin")
)


@pytest.mark.parametrize(
    ("fields", "status", "with_cookies"),
    [
        ((), 204, True),
        ((OWN,), 204, True),
        ((OWN, SAME_ORIGIN), 204, True),
        ((b"Origin: HTTP://WWW.EXAMPLE.COM:80",), 204, True),
        # The balancer ended TLS, or replaced Host; the browser knows better.
        ((b"Origin: https://www.example.com",), 204, True),
        ((b"Origin: https://shop.example", SAME_ORIGIN), 204, True),
        ((SAME_ORIGIN,), 204, True),
        ((b"Sec-Fetch-Site: none",), 204, True),
        # A form of another site in an old browser has a Referer only.
        ((b"Referer: http://www.example.com/p?q",), 204, True),
        ((b"Referer: HTTPS://WWW.EXAMPLE.COM",), 204, True),
        ((b"Referer: about:blank",), 204, True),
        ((b"Referer: https://evil.example/",), 204, False),
        ((b"Referer: http://www.example.com.evil.example/",), 204, False),
        ((b"Referer: http://www.example.com@evil.example/", SAME_SITE), 204, False),
        ((b"Referer: https://evil.example/", SAME_ORIGIN), 204, True),
        # A sandboxed frame of the site itself.
        ((b"Origin: null", CROSS_SITE), 204, False),
        ((b"Origin: null",), 204, False),
        ((FOREIGN,), 403, False),
        ((FOREIGN, CROSS_SITE), 403, False),
        ((FOREIGN, SAME_SITE), 403, False),
        ((CROSS_SITE,), 403, False),
        ((OWN, CROSS_SITE), 403, False),
        ((b"Origin: http://www.example.com.evil.example",), 403, False),
        ((b"Origin: http://www.example.com:8080",), 403, False),
        ((b"Origin: www.example.com",), 403, False),
        ((b"Origin: file://",), 403, False),
        ((b"Origin: ",), 403, False),
    ],
)
def test_notices_of_other_sites(
    companion: InMemoryNode, fields: tuple[bytes, ...], status: int, with_cookies: bool
) -> None:
    """Another site could otherwise have a visitor's routing cookies recorded for a token that it chose."""
    companion.get(b"/shop")
    page = notice(companion.page.token, cookies={"SRV": "n1"}, url="http://www.example.com/shop")
    answer = post(companion, page, b"Cookie: SRV=n1", *fields)
    assert answer.status == status
    assert [dict(written.cookies) for written in waiting(companion)] == (
        [] if status == 403 else [{"SRV": "n1"} if with_cookies else {}]
    )
    assert companion.counters.notices == ({"refused": 1} if status == 403 else {"taken": 1})


@pytest.mark.parametrize(("public_origin", "status"), [("", 204), ("http://www.example.com", 403)])
def test_a_page_whose_host_the_node_does_not_know(tmp_path: Path, public_origin: str, status: int) -> None:
    """Behind a balancer that replaces Host, a page of a site without TLS comes with an unknown origin."""
    companion = InMemoryNode(spool=Spool(tmp_path / "notices.db", at_once), node={"public_origin": public_origin})
    companion.get(b"/shop")
    page = notice(companion.page.token, url="http://shop.example/shop", cookies={"SRV": "n1"})
    answer = post(companion, page, b"Origin: http://shop.example", b"Cookie: SRV=n1")
    assert answer.status == status
    assert [dict(written.cookies) for written in waiting(companion)] == ([{}] if status == 204 else [])


def test_a_trusted_proxy_says_which_host_is_this_site() -> None:
    origin = PublicOrigin("")
    head = RequestHead.from_fields(
        b"POST", b"/", 11, [(b"host", b"nodes"), (b"x-forwarded-host", b"shop.example, nodes")]
    )
    assert origin.is_own(b"https://shop.example", head, trusted=True)
    assert not origin.is_own(b"https://shop.example", head, trusted=False)
    assert PublicOrigin("https://shop.example").is_own(b"https://shop.example", head, trusted=False)
    assert PublicOrigin("https://shop.example:443").is_own(b"https://shop.example", head, trusted=False)


class Unread(MemoryStore):
    """Counts how often whole copies are read."""

    read = 0

    def peek(self, token: str) -> Any:
        self.read += 1
        return super().peek(token)


def test_the_copy_is_not_read_for_its_address(tmp_path: Path) -> None:
    store = Unread(StoreTable(), lambda: 0.0)
    companion = InMemoryNode(store=store, spool=Spool(tmp_path / "notices.db", at_once))
    companion.get(b"/shop")
    assert post(companion, notice(companion.page.token)).status == 204
    assert waiting(companion)[0].page_url == "http://www.example.com/shop"
    assert store.read == 0


def test_long_addresses_are_cut(companion: InMemoryNode) -> None:
    companion.get(b"/shop?" + b"a" * 9000)
    token = companion.page.token
    assert post(companion, notice(token, url=URL + "\u20ac" * 2000)).status == 204
    (written,) = waiting(companion)
    assert written.url == URL + "\u20ac" * ((MAX_URL_BYTES - len(URL)) // 3)
    assert written.page_url == companion.page.url[:MAX_URL_BYTES]


@pytest.mark.parametrize(
    ("peer", "fields", "source"),
    [
        ("198.51.100.1", (), "198.51.100.1"),
        ("198.51.100.1", (b"X-Forwarded-For: 203.0.113.9",), "198.51.100.1"),
        ("192.0.2.1", (b"X-Forwarded-For: 203.0.113.9",), "203.0.113.9"),
        ("192.0.2.1", (b"X-Forwarded-For: 2001:db8:1:2:3::4",), "2001:db8:1:2::/64"),
        ("192.0.2.1", (b"Forwarded: for=203.0.113.9",), "203.0.113.9"),
        ("192.0.2.1", (b"X-Forwarded-For: unknown",), ""),
    ],
)
def test_notices_share_the_spool_by_address(tmp_path: Path, peer: str, fields: tuple[bytes, ...], source: str) -> None:
    spool = Spool(tmp_path / "notices.db", at_once)
    companion = InMemoryNode(spool=spool, node={"trusted_proxies": (ip_network("192.0.2.0/24"),)})
    companion.get(b"/shop")
    body = json.dumps(notice(companion.page.token)).encode()
    head = request(b"/_lbc/notice", b"Content-Length: %d" % len(body), *fields, method=b"POST")
    (answer,) = companion.ask(head + body, methods=[b"POST"], peer=(peer, 4711))
    assert answer.status == 204
    assert spool._open_database().execute("SELECT source FROM waiting").fetchall() == [(source,)]


def test_a_notice_names_the_visitor_by_a_pseudonym_only(companion: InMemoryNode) -> None:
    companion.get(b"/shop")
    token = companion.page.token
    post(companion, notice(token), b"Cookie: WRUID=alice; SRV=n1")
    (written,) = waiting(companion)
    assert is_pseudonym(written.visitor)
    assert written.sender not in ("", written.visitor)
    assert b"alice" not in write_notices([written])


@pytest.mark.parametrize(
    "fields",
    [(b"Cookie: SRV=n1",), (b"Cookie: WRUID=1",), (b"Cookie: WRUID=alice", b"Origin: null")],
    ids=["no cookie", "a value of many", "a sandboxed page"],
)
def test_without_a_visitor_cookie_there_is_no_pseudonym(companion: InMemoryNode, fields: tuple[bytes, ...]) -> None:
    companion.get(b"/shop")
    post(companion, notice(companion.page.token), *fields)
    (written,) = waiting(companion)
    assert written.visitor == ""


def test_the_nodes_own_notice_names_the_visitor_too(companion: InMemoryNode) -> None:
    companion.get(b"/shop")
    companion.notice_receiver.record_server_notice(companion.page, b"a=b; WRUID=alice")
    (written,) = waiting(companion)
    assert is_pseudonym(written.visitor)
