"""Notices: taken in, reduced to routing cookies, written durably."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.model import Notice, NoticeSource
from lbcompanion.node.notices.spool import Spool
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.settings import StickyTable, StoreTable
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


def test_a_disk_that_fails_is_told(tmp_path: Path) -> None:
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
