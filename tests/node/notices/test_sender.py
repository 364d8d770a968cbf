"""Notices and losses are delivered to the crawler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from lbcompanion.errors import StoreError
from lbcompanion.model import Loss, Notice
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices import sender
from lbcompanion.node.notices.sender import NoticeSender
from lbcompanion.node.notices.spool import Spool
from lbcompanion.protocol.notices import read_delivery
from lbcompanion.protocol.signatures import SignedRequest, Verifier
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.stores.threads import SingleThread
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import EPOCH, new_folder

reactor: Any = global_reactor


URL = "https://www.example.com/shop"
VIEWED = "2026-11-23T21:20:00Z"


def notice(token: str, /, **more: object) -> dict[str, object]:
    return {"token": token, "url": URL, "cookies": {}, "viewed_at": VIEWED} | more


class Crawler(Resource):
    """An intake; ``status`` is what it answers, or a function of the notices."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.status: Callable[[list[Notice]], int] = lambda notices: 202
        self.taken: list[str] = []
        self.lost: list[Loss] = []
        self.asked = 0
        self.answer = b""
        self.ends = True

    def render_POST(self, request: Request) -> bytes | int:
        self.asked += 1
        body = request.content.read()
        fields = [(key.lower(), value) for key, values in request.requestHeaders.getAllRawHeaders() for value in values]
        host = request.getHeader(b"host").decode()
        Verifier(SECRET).verify(SignedRequest("POST", host, "/notices", fields, body), EPOCH)
        notices, losses = read_delivery(body)
        status = self.status(notices)
        request.setResponseCode(status)
        if status == 202:
            self.taken += [notice.url for notice in notices]
            self.lost += losses
        if self.ends:
            return self.answer
        request.write(b"not all of it")
        return NOT_DONE_YET


class DeliveryTests(TestCase):
    """The deliverer, on the reactor."""

    def setUp(self) -> None:
        self.crawler = Crawler()
        self.site = Site(self.crawler)
        self.counters = Counters()
        self.thread = SingleThread(reactor)
        self.logged: list[str] = []
        self.path = new_folder(self) / "notices.db"
        self.port = 0
        self.intakes: list[str] = []
        self.listening: Any = None
        self.up()
        self.begin()

    def begin(self) -> None:
        self.spool = Spool(self.path, self.thread)
        nonces = iter(range(1000))
        self.notice_sender = NoticeSender(
            intakes=self.intakes or [f"http://127.0.0.1:{self.port}"],
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
        yield self.notice_sender.stop()
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
        self.notice_sender.wake()
        self.notice_sender.wake()
        yield self.until(lambda: self.spool.waiting == 0)
        assert self.crawler.taken == ["http://a/a", "http://a/b", "http://a/c"]
        assert self.crawler.asked == 1
        yield self.add("d")
        self.notice_sender.wake()
        yield self.until(lambda: len(self.crawler.taken) == 4)
        yield self.until(lambda: self.counters.notices["delivered"] == 4)

    @pytest.mark.network
    @inlineCallbacks
    def test_an_answer_with_a_large_body_counts_by_its_status(self) -> Any:
        self.crawler.answer = b"x" * 1_000_000
        yield self.add("a")
        self.notice_sender.wake()
        yield self.until(lambda: self.counters.notices["delivered"] == 1)
        assert self.crawler.taken == ["http://a/a"]

    @pytest.mark.network
    @inlineCallbacks
    def test_an_answer_that_does_not_end_is_given_up(self) -> Any:
        self.patch(sender, "_TIMEOUT_SECONDS", 0.2)
        self.crawler.ends = False
        yield self.add("a")
        self.notice_sender.wake()
        yield self.until(lambda: not self.notice_sender.reachable)
        self.crawler.ends = True
        yield self.until(lambda: self.notice_sender.reachable)
        yield self.until(lambda: self.counters.notices["delivered"] == 1)

    @pytest.mark.network
    @inlineCallbacks
    def test_they_wait_for_a_crawler_that_is_down(self) -> Any:
        yield self.down()
        yield self.add(*"ab")
        self.notice_sender.wake()
        yield self.until(lambda: not self.notice_sender.reachable)
        self.up()
        yield self.until(lambda: len(self.crawler.taken) == 2)
        yield self.until(lambda: self.notice_sender.reachable)
        assert [line.partition(":")[0] for line in self.logged] == ["crawler not reached", "crawler reached again"]

    @pytest.mark.network
    @inlineCallbacks
    def test_the_next_intake_is_tried_at_once_and_the_first_again_later(self) -> Any:
        self.patch(sender, "_AVOID_SECONDS", 0.5)
        second = Crawler()
        listening = reactor.listenTCP(0, Site(second), interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        one, two = (f"http://127.0.0.1:{port}" for port in (self.port, listening.getHost().port))
        self.intakes = [one, two]
        yield self.end()
        self.begin()
        assert self.notice_sender.intake == ""
        for name, how in (("a", "works"), ("b", "refuses"), ("c", "is gone"), ("d", "works")):
            self.crawler.status = lambda _notices, how=how: 503 if how == "refuses" else 202
            if how == "is gone":
                yield self.down()
            elif self.listening is None:
                self.up()
                yield deferLater(reactor, 0.6, lambda: None)
            yield self.add(name)
            self.notice_sender.wake()
            yield self.until(lambda: self.spool.waiting == 0)
            yield self.until(lambda: self.notice_sender._delivery is None)
            assert self.notice_sender.intake == (one if how == "works" else two)
            assert self.notice_sender.reachable
        assert (self.crawler.taken, second.taken) == (["http://a/a", "http://a/d"], ["http://a/b", "http://a/c"])
        assert self.logged == [f"notices go to another crawler: {two}", f"notices go to another crawler: {one}"]

    @pytest.mark.network
    @inlineCallbacks
    def test_they_wait_where_all_intakes_fail(self) -> Any:
        self.intakes = [f"http://127.0.0.1:{self.port}/", f"http://127.0.0.1:{self.port}"]
        yield self.end()
        self.begin()
        self.crawler.status = lambda _notices: 503 if self.crawler.asked < 5 else 202
        yield self.add("a")
        self.notice_sender.wake()
        yield self.until(lambda: not self.notice_sender.reachable)
        assert self.notice_sender.trouble.endswith("the intake answered 503; notices wait")
        yield self.until(lambda: self.notice_sender.reachable)
        yield self.until(lambda: self.counters.notices["delivered"] == 1)
        assert self.crawler.asked == 5

    @pytest.mark.network
    @inlineCallbacks
    def test_a_crawler_with_another_secret_is_named_so(self) -> Any:
        self.crawler.status = lambda notices: 401 if self.crawler.asked < 2 else 202
        yield self.add("a")
        self.notice_sender.wake()
        yield self.until(lambda: not self.notice_sender.reachable)
        why = "the crawler refuses the signature (401): another farm secret?"
        assert self.notice_sender.trouble.startswith(why)
        yield self.until(lambda: self.notice_sender.reachable)
        assert self.logged == [f"crawler refuses notices: {why}", "crawler reached again: "]

    @pytest.mark.network
    @inlineCallbacks
    def test_a_broken_spool_says_nothing_of_the_crawler(self) -> Any:
        def broken(count: int) -> Deferred[Any]:
            tried.append(count)
            return fail(StoreError("the disk is full"))

        tried: list[int] = []
        self.patch(self.spool, "oldest", broken)
        self.notice_sender.wake()
        yield self.until(lambda: len(tried) == 2)
        assert (self.notice_sender.reachable, self.logged) == (True, [])

    @pytest.mark.network
    @inlineCallbacks
    def test_lost_copies_go_with_the_notices(self) -> Any:
        yield self.add("a")
        yield self.spool.add_losses({"t1": "it went"})
        self.notice_sender.wake()
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
        self.notice_sender.wake()
        yield self.until(lambda: self.counters.notices == {"refused by crawler": 1, "losses delivered": 1})
        assert self.crawler.lost == [Loss("t1", "it went")]

    @pytest.mark.network
    @inlineCallbacks
    def test_in_a_hurry_nothing_is_waited_for(self) -> Any:
        yield self.down()
        yield self.add("a")
        self.notice_sender.wake()
        yield self.until(lambda: not self.notice_sender.reachable)
        # The next try would be half a second or more away.
        yield Deferred.fromCoroutine(self.notice_sender.flush(5.0))
        assert self.crawler.taken == []
        self.up()
        yield self.spool.add_losses({"t1": "it went"})
        yield Deferred.fromCoroutine(self.notice_sender.flush(5.0))
        assert (self.crawler.taken, self.crawler.lost) == (["http://a/a"], [Loss("t1", "it went")])
        # What came while a delivery was under way goes with another.
        yield self.spool.add_losses({"t2": "it went"})
        self.notice_sender.wake()
        yield self.until(lambda: self.notice_sender._delivery is not None or len(self.crawler.lost) == 2)
        yield self.spool.add_losses({"t3": "it went"})
        yield Deferred.fromCoroutine(self.notice_sender.flush(5.0))
        assert sorted(loss.token for loss in self.crawler.lost) == ["t1", "t2", "t3"]

    @pytest.mark.network
    @inlineCallbacks
    def test_they_survive_a_restart(self) -> Any:
        yield self.down()
        yield self.add(*"ab")
        self.notice_sender.wake()
        yield self.until(lambda: not self.notice_sender.reachable)
        yield self.end()
        self.up()
        self.begin()
        self.notice_sender.wake()
        yield self.until(lambda: len(self.crawler.taken) == 2)
        yield self.until(lambda: self.spool.waiting == 0)

    @pytest.mark.network
    @inlineCallbacks
    def test_a_crawler_that_refuses_is_asked_again(self) -> Any:
        self.crawler.status = lambda notices: 503 if self.crawler.asked < 2 else 202
        yield self.add("a")
        self.notice_sender.wake()
        yield self.until(lambda: self.crawler.taken == ["http://a/a"])

    @pytest.mark.network
    @inlineCallbacks
    def test_one_that_the_crawler_cannot_read_does_not_hold_up_the_others(self) -> Any:
        self.crawler.status = lambda notices: 400 if any("b" in notice.url for notice in notices) else 202
        yield self.add(*"abc")
        self.notice_sender.wake()
        yield self.until(lambda: self.spool.waiting == 0)
        assert self.crawler.taken == ["http://a/a", "http://a/c"]
        yield self.until(lambda: self.counters.notices == {"delivered": 2, "refused by crawler": 1})

    @pytest.mark.network
    @inlineCallbacks
    def test_one_by_one_stops_where_the_crawler_fails(self) -> Any:
        self.crawler.status = lambda notices: 400 if len(notices) > 1 else 500
        yield self.add(*"ab")
        self.notice_sender.wake()
        yield self.until(lambda: not self.notice_sender.reachable)
        assert self.crawler.asked == 2
        assert self.spool.waiting == 2
