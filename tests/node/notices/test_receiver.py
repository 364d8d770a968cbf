"""Notices: taken in, reduced to routing cookies, written durably, delivered once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from lbcompanion.model import Loss, Notice, Told
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices.receiver import Deliverer
from lbcompanion.node.notices.spool import Spool
from lbcompanion.protocol.notices import read_delivery
from lbcompanion.protocol.signatures import Verifier
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.settings import StickyTable, StoreTable
from lbcompanion.stores.threads import OneThread
from lbcompanion.testing.stores import SlowStore
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import EPOCH, Answer, Rig, at_once, new_folder, read_answers, request
from tests.support.own_answers import Odd

reactor: Any = global_reactor
URL = "https://www.example.com/shop"
VIEWED = "2026-11-23T21:20:00Z"


@pytest.fixture(name="rig")
def _rig(tmp_path: Path) -> Rig:
    return Rig(
        spool=Spool(tmp_path / "state" / "notices.db", at_once),
        sticky=StickyTable(dialect="auto", cookies=("SRV", "JSESSIONID")),
    )


def waiting(rig: Rig) -> list[Notice]:
    found: list[Any] = []
    assert rig.desk._spool is not None
    rig.desk._spool.oldest(100).addCallback(found.extend)
    return [notice for _, notice in found]


def post(rig: Rig, said: object, *fields: bytes) -> Answer:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    visitor = rig.connect()
    visitor.send(request(b"/_lbc/notice", b"Content-Length: %d" % len(body), *fields, method=b"POST") + body)
    rig.run()
    (answer,) = read_answers(visitor.received, [b"POST"], visitor.eof)
    return answer


def notice(token: str, /, **more: object) -> dict[str, object]:
    return {"token": token, "url": URL, "cookies": {}, "viewed_at": VIEWED} | more


def test_a_notice_is_written_with_the_routing_cookies_of_its_request(rig: Rig) -> None:
    rig.get(b"/shop")
    token = rig.page.token
    cookie = b"Cookie: SRV=n1; sessionid=5e55104; JSESSIONID=5e55104ABCDEF5e55104ABCDEF012345.node1"
    answer = post(rig, notice(token, cookies={"SRV": "n1", "other": "x"}), cookie, b"Content-Type: text/plain")
    assert (answer.status, answer.body) == (204, b"")
    (written,) = waiting(rig)
    assert dict(written.cookies) == {"SRV": "n1", "JSESSIONID": ".node1"}
    assert (written.token, written.url, written.by) == (token, URL, Told.BROWSER)
    assert written.page_url == "http://www.example.com/shop"
    assert written.noticed_at == rig.now()
    assert rig.woken == 1
    assert rig.counters.notices == {"taken": 1}


def test_behind_a_prefix_the_scripts_value_routes(rig: Rig) -> None:
    post(rig, notice(rig.tokens.mint(), cookies={"JSESSIONID": "n2~abc"}), b"Cookie: JSESSIONID=abc")
    assert dict(waiting(rig)[0].cookies) == {"JSESSIONID": "n2~"}


def test_a_notice_of_another_nodes_page_is_taken_too(rig: Rig) -> None:
    token = Tokens(SECRET, "n2", bytes).mint()
    assert post(rig, notice(token)).status == 204
    assert waiting(rig)[0].page_url == ""


def test_a_notice_waits_once(rig: Rig) -> None:
    token = rig.tokens.mint()
    assert [post(rig, notice(token)).status for _ in range(3)] == [204] * 3
    assert len(waiting(rig)) == 1


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
def test_what_is_malformed_gets_400(rig: Rig, change: dict[str, object]) -> None:
    assert post(rig, notice(rig.tokens.mint(), **change)).status == 400
    assert waiting(rig) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"a":1,"a":2}', b"[" * 5000, b"null"])
def test_what_is_no_json_object_gets_400(rig: Rig, body: bytes) -> None:
    assert post(rig, body).status == 400


@pytest.mark.parametrize(("size", "status"), [(16384, 204), (16385, 413), (16386, 413), (300_000, 413)])
@pytest.mark.parametrize("chunks", [True, False])
def test_a_notice_has_a_limit(rig: Rig, size: int, status: int, chunks: bool) -> None:
    body = json.dumps(notice(rig.tokens.mint())).encode()
    body += b" " * (size - len(body))
    visitor = rig.connect()
    if chunks:
        head = request(b"/_lbc/notice", b"Transfer-Encoding: chunked", method=b"POST")
        visitor.send(head, b"%x\r\n" % size, body[:9000], body[9000:], b"\r\n0\r\n\r\n")
    else:
        visitor.send(request(b"/_lbc/notice", b"Content-Length: %d" % size, method=b"POST"), body[:9000], body[9000:])
    rig.run()
    (answer,) = read_answers(visitor.received, [b"POST"], visitor.eof)
    assert answer.status == status


def test_an_expectation_is_met(rig: Rig) -> None:
    body = json.dumps(notice(rig.tokens.mint())).encode()
    visitor = rig.connect()
    visitor.send(request(b"/_lbc/notice", b"Expect: 100-continue", b"Content-Length: %d" % len(body), method=b"POST"))
    rig.run()
    assert visitor.received == b"HTTP/1.1 100 Continue\r\n\r\n"
    visitor.send(body)
    rig.run()
    assert read_answers(visitor.received, [b"POST"], False)[0].status == 204


def test_a_disk_that_fails_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    rig = Rig(spool=Spool(tmp_path / "state" / "notices.db", at_once))
    assert post(rig, notice(rig.tokens.mint())).status == 503
    (tmp_path / "state").unlink()
    assert post(rig, notice(rig.tokens.mint())).status == 204


def test_without_a_crawler_notices_go_nowhere() -> None:
    rig = Rig()
    assert post(rig, notice(rig.tokens.mint())).status == 204
    assert rig.counters.notices == {"not sent on": 1}


def test_a_store_that_fails_does_not_lose_the_notice(rig: Rig) -> None:
    rig.copies.live_in(SlowStore(rig.store, rig.clock, 0.5))
    token = rig.tokens.mint()
    visitor = rig.connect()
    body = json.dumps(notice(token)).encode()
    visitor.send(request(b"/_lbc/notice", b"Content-Length: %d" % len(body), method=b"POST") + body)
    rig.run()
    rig.pass_time(1)
    assert read_answers(visitor.received, [b"POST"], False)[0].status == 204
    rig.copies.live_in(Odd(StoreTable(), rig.now))
    assert post(rig, notice(rig.tokens.mint())).status == 204


def test_the_node_tells_of_its_pages_itself(rig: Rig) -> None:
    rig.on_kept = rig.desk.of_our_own
    rig.get(b"/shop", b"Cookie: SRV=n1; sessionid=5e55104")
    (written,) = waiting(rig)
    assert dict(written.cookies) == {"SRV": "n1"}
    assert (written.by, written.url, written.page_url) == (Told.SERVER, *["http://www.example.com/shop"] * 2)


# Delivery, for real.


class Crawler(Resource):
    """An intake; ``status`` is what it answers, or a function of the notices."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.status: Callable[[list[Notice]], int] = lambda notices: 202
        self.taken: list[str] = []
        self.lost: list[Loss] = []
        self.asked = 0

    def render_POST(self, request: Request) -> bytes:
        self.asked += 1
        body = request.content.read()
        fields = [(key.lower(), value) for key, values in request.requestHeaders.getAllRawHeaders() for value in values]
        host = request.getHeader(b"host").decode()
        Verifier(SECRET).verify("POST", host, "/notices", fields, body, EPOCH)
        notices, losses = read_delivery(body)
        status = self.status(notices)
        request.setResponseCode(status)
        if status == 202:
            self.taken += [notice.url for notice in notices]
            self.lost += losses
        return b""


class DeliveryTests(TestCase):
    """The deliverer, on the reactor."""

    def setUp(self) -> None:
        self.crawler = Crawler()
        self.site = Site(self.crawler)
        self.counters = Counters()
        self.thread = OneThread(reactor)
        self.logged: list[str] = []
        self.path = new_folder(self) / "notices.db"
        self.port = 0
        self.listening: Any = None
        self.up()
        self.begin()

    def begin(self) -> None:
        self.spool = Spool(self.path, self.thread)
        nonces = iter(range(1000))
        self.deliverer = Deliverer(
            intake=f"http://127.0.0.1:{self.port}",
            secret=SECRET,
            spool=self.spool,
            reactor=reactor,
            nonces=lambda: f"n{next(nonces)}",
            now=lambda: EPOCH,
            counters=self.counters,
            log=lambda event, detail: self.logged.append(f"{event}: {detail}"),
        )

    def up(self) -> None:
        self.listening = reactor.listenTCP(self.port, self.site, interface="127.0.0.1")
        self.port = self.listening.getHost().port

    def down(self) -> Deferred[Any]:
        listening, self.listening = self.listening, None
        return listening.stopListening() if listening is not None else succeed(None)

    @inlineCallbacks
    def end(self) -> Any:
        yield self.deliverer.stop()
        yield self.spool.close()

    @inlineCallbacks
    def tearDown(self) -> Any:
        yield self.end()
        yield self.down()
        self.thread.stop()

    @inlineCallbacks
    def add(self, *names: str) -> Any:
        for name in names:
            token = Tokens(SECRET, "n1", lambda count, name=name: (name.encode() * count)[:count]).mint()
            yield self.spool.add(Notice(token, f"http://a/{name}", {"SRV": "n1"}, 1.0, 2.0))

    @inlineCallbacks
    def until(self, is_so: Callable[[], bool]) -> Any:
        for _ in range(400):
            if is_so():
                return
            yield deferLater(reactor, 0.01, lambda: None)
        self.fail("it did not come about")

    @pytest.mark.network
    @inlineCallbacks
    def test_what_waits_is_delivered_in_order_and_once(self) -> Any:
        yield self.add(*"abc")
        self.deliverer.wake()
        self.deliverer.wake()
        yield self.until(lambda: self.spool.waiting == 0)
        assert self.crawler.taken == ["http://a/a", "http://a/b", "http://a/c"]
        assert self.crawler.asked == 1
        yield self.add("d")
        self.deliverer.wake()
        yield self.until(lambda: len(self.crawler.taken) == 4)
        yield self.until(lambda: self.counters.notices["delivered"] == 4)

    @pytest.mark.network
    @inlineCallbacks
    def test_they_wait_for_a_crawler_that_is_down(self) -> Any:
        yield self.down()
        yield self.add(*"ab")
        self.deliverer.wake()
        yield self.until(lambda: not self.deliverer.reachable)
        self.up()
        yield self.until(lambda: len(self.crawler.taken) == 2)
        yield self.until(lambda: self.deliverer.reachable)
        assert [line.partition(":")[0] for line in self.logged] == ["crawler not reached", "crawler reached again"]

    @pytest.mark.network
    @inlineCallbacks
    def test_lost_copies_go_with_the_notices(self) -> Any:
        yield self.add("a")
        yield self.spool.add_losses({"t1": "it went"})
        self.deliverer.wake()
        yield self.until(lambda: self.counters.notices == {"delivered": 1, "losses delivered": 1})
        assert (self.crawler.taken, self.crawler.lost) == (["http://a/a"], [Loss("t1", "it went")])
        assert self.crawler.asked == 1
        assert (yield self.spool.losses(10)) == []

    @pytest.mark.network
    @inlineCallbacks
    def test_a_crawler_that_refuses_a_batch_hears_of_lost_copies_alone(self) -> Any:
        self.crawler.status = lambda notices: 400 if notices else 202
        yield self.add("a")
        yield self.spool.add_losses({"t1": "it went"})
        self.deliverer.wake()
        yield self.until(lambda: self.counters.notices == {"refused by crawler": 1, "losses delivered": 1})
        assert self.crawler.lost == [Loss("t1", "it went")]

    @pytest.mark.network
    @inlineCallbacks
    def test_in_a_hurry_nothing_is_waited_for(self) -> Any:
        yield self.down()
        yield self.add("a")
        self.deliverer.wake()
        yield self.until(lambda: not self.deliverer.reachable)
        # The next try would be half a second or more away.
        yield Deferred.fromCoroutine(self.deliverer.hurry(5.0))
        assert self.crawler.taken == []
        self.up()
        yield self.spool.add_losses({"t1": "it went"})
        yield Deferred.fromCoroutine(self.deliverer.hurry(5.0))
        assert (self.crawler.taken, self.crawler.lost) == (["http://a/a"], [Loss("t1", "it went")])
        # What came while a delivery was under way goes with another.
        yield self.spool.add_losses({"t2": "it went"})
        self.deliverer.wake()
        yield self.until(lambda: self.deliverer._busy is not None or len(self.crawler.lost) == 2)
        yield self.spool.add_losses({"t3": "it went"})
        yield Deferred.fromCoroutine(self.deliverer.hurry(5.0))
        assert sorted(loss.token for loss in self.crawler.lost) == ["t1", "t2", "t3"]

    @pytest.mark.network
    @inlineCallbacks
    def test_they_survive_a_restart(self) -> Any:
        yield self.down()
        yield self.add(*"ab")
        self.deliverer.wake()
        yield self.until(lambda: not self.deliverer.reachable)
        yield self.end()
        self.up()
        self.begin()
        self.deliverer.wake()
        yield self.until(lambda: len(self.crawler.taken) == 2)
        yield self.until(lambda: self.spool.waiting == 0)

    @pytest.mark.network
    @inlineCallbacks
    def test_a_crawler_that_refuses_is_asked_again(self) -> Any:
        self.crawler.status = lambda notices: 503 if self.crawler.asked < 2 else 202
        yield self.add("a")
        self.deliverer.wake()
        yield self.until(lambda: self.crawler.taken == ["http://a/a"])

    @pytest.mark.network
    @inlineCallbacks
    def test_one_that_the_crawler_cannot_read_does_not_hold_up_the_others(self) -> Any:
        self.crawler.status = lambda notices: 400 if any("b" in notice.url for notice in notices) else 202
        yield self.add(*"abc")
        self.deliverer.wake()
        yield self.until(lambda: self.spool.waiting == 0)
        assert self.crawler.taken == ["http://a/a", "http://a/c"]
        yield self.until(lambda: self.counters.notices == {"delivered": 2, "refused by crawler": 1})

    @pytest.mark.network
    @inlineCallbacks
    def test_one_by_one_stops_where_the_crawler_fails(self) -> Any:
        self.crawler.status = lambda notices: 400 if len(notices) > 1 else 500
        yield self.add(*"ab")
        self.deliverer.wake()
        yield self.until(lambda: not self.deliverer.reachable)
        assert self.crawler.asked == 2
        assert self.spool.waiting == 2
