"""Confirmations of one route are gathered; a node that does not know that gets them one by one."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lbcompanion.crawler.crawl.confirmations import SINGLE_SECONDS, Confirmations
from lbcompanion.crawler.fetching.fetcher import FetchPath
from lbcompanion.crawler.fetching.http_client import FetchFailed
from lbcompanion.protocol.confirmations import MAX_TOKENS

N1 = FetchPath(route="recorded n1")


class Node:
    """Stands for a fetcher, and the node behind it."""

    def __init__(self) -> None:
        self.requests: list[list[str]] = []
        self.pending: list[Deferred[Any]] = []
        self.answer: Any = dict
        self.waits = False
        self.single = True

    async def _wait(self) -> None:
        if self.waits:
            self.pending.append(Deferred())
            await self.pending[-1]

    async def confirm_several(self, tokens: list[str], _path: FetchPath, owner: str) -> dict[str, int] | None:
        assert owner in {"n1", "n2"}
        self.requests.append(list(tokens))
        await self._wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict.fromkeys(tokens, 204) if self.answer is dict else self.answer

    async def confirm(self, token: str, _path: FetchPath) -> bool:
        self.requests.append([token])
        await self._wait()
        return self.single

    def go_on(self) -> None:
        waiting, self.pending = self.pending, []
        for each in waiting:
            each.callback(None)


class Crawler:
    def __init__(self, gather_seconds: float = 0.02) -> None:
        self.clock = Clock()
        self.confirmations = Confirmations(self.clock, gather_seconds)
        self.results: dict[str, bool] = {}

    def confirm(self, node: Any, *tokens: str, owner: str = "n1", path: FetchPath = N1) -> None:
        for token in tokens:
            done = self.confirmations.confirm(node, owner, token, path)
            done.addCallback(lambda accepted, token=token: self.results.update({token: accepted}))


def test_those_of_one_route_are_one_request() -> None:
    node, crawler = Node(), Crawler()
    crawler.confirm(node, "a", "b")
    assert node.requests == []
    crawler.clock.advance(0.01)
    crawler.confirm(node, "c")
    crawler.clock.advance(0.01)
    assert node.requests == [["a", "b", "c"]]
    assert crawler.results == {"a": True, "b": True, "c": True}


def test_routes_and_nodes_are_apart() -> None:
    node, other, crawler = Node(), Node(), Crawler()
    crawler.confirm(node, "a", "b")
    crawler.confirm(node, "c", "d", owner="n2", path=FetchPath(route="recorded n2"))
    crawler.confirm(node, "e", "f", path=FetchPath(route="own n1"))
    crawler.confirm(node, "g", "h", path=FetchPath(direct="http://n1", route="direct n1"))
    crawler.confirm(other, "i", "j")
    crawler.clock.advance(0.02)
    assert node.requests == [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"]]
    assert other.requests == [["i", "j"]]


def test_one_alone_is_a_request_that_every_node_knows() -> None:
    node, crawler = Node(), Crawler(0)
    node.waits = True
    crawler.confirm(node, "a", "b", "c")
    assert node.requests == [["a"]]
    node.go_on()
    assert node.requests == [["a"], ["b", "c"]]
    node.go_on()
    assert crawler.results == {"a": True, "b": True, "c": True}


def test_a_request_has_a_limited_number() -> None:
    node, crawler = Node(), Crawler()
    crawler.confirm(node, *(f"t{number}" for number in range(2 * MAX_TOKENS + 1)))
    crawler.clock.advance(0.02)
    assert [len(one) for one in node.requests] == [MAX_TOKENS, MAX_TOKENS, 1]
    assert len(crawler.results) == 2 * MAX_TOKENS + 1


def test_an_earlier_node_gets_them_one_by_one() -> None:
    node, crawler = Node(), Crawler()
    node.answer = None
    crawler.confirm(node, "a", "b")
    crawler.clock.advance(0.02)
    assert node.requests == [["a", "b"], ["a"], ["b"]]
    assert crawler.results == {"a": True, "b": True}
    crawler.confirm(node, "c", "d")
    crawler.clock.advance(0.02)
    assert node.requests[3:] == [["c"], ["d"]]
    crawler.clock.advance(SINGLE_SECONDS)  # the node was upgraded meanwhile
    node.answer = dict
    crawler.confirm(node, "e", "f")
    crawler.clock.advance(0.02)
    assert node.requests[5:] == [["e", "f"]]


def test_single_requests_do_not_wait_for_each_other() -> None:
    node, crawler = Node(), Crawler()
    node.answer = None
    crawler.confirm(node, "a", "b")
    crawler.clock.advance(0.02)
    node.waits = True
    crawler.confirm(node, "c", "d")
    crawler.clock.advance(0.02)
    assert node.requests[3:] == [["c"], ["d"]]
    node.go_on()
    assert crawler.results["d"]


def test_without_an_answer_they_are_asked_for_one_by_one() -> None:
    node, crawler = Node(), Crawler()
    node.answer = FetchFailed("timeout")
    node.single = False
    crawler.confirm(node, "a", "b")
    crawler.clock.advance(0.02)
    assert node.requests == [["a", "b"], ["a"], ["b"]]
    assert crawler.results == {"a": False, "b": False}
    crawler.confirm(node, "c", "d")
    crawler.clock.advance(0.02)
    assert node.requests[3] == ["c", "d"]  # it may have been down


def test_a_token_without_a_good_status_is_asked_for_alone() -> None:
    node, crawler = Node(), Crawler()
    node.answer = {"a": 204, "b": 404, "c": 503}
    node.single = False
    crawler.confirm(node, "a", "b", "c", "d")
    crawler.clock.advance(0.02)
    assert node.requests[1:] == [["c"], ["d"]]
    assert crawler.results == {"a": True, "b": True, "c": False, "d": False}


def test_a_cancelled_job_does_not_stop_the_others() -> None:
    node, crawler = Node(), Crawler()
    node.waits = True
    cancelled = crawler.confirmations.confirm(node, "n1", "a", N1)  # type: ignore[arg-type]
    cancelled.addErrback(lambda _failure: None)
    crawler.confirm(node, "b")
    crawler.clock.advance(0.02)
    cancelled.cancel()
    node.go_on()
    assert crawler.results == {"b": True}


def test_a_defect_does_not_hold_up_later_ones() -> None:
    node, crawler = Node(), Crawler()
    node.answer = RuntimeError("a defect")
    for first, second in (("a", "b"), ("c", "d")):
        crawler.confirm(node, first, second)
        crawler.clock.advance(0.02)
    assert crawler.results == dict.fromkeys("abcd", True)
    assert node.requests == [["a", "b"], ["a"], ["b"], ["c", "d"], ["c"], ["d"]]


def test_a_defect_of_one_that_waits_does_not_hold_up_later_ones() -> None:
    class Broken(Node):
        def confirm(self, token: str, _path: FetchPath) -> Any:
            raise ZeroDivisionError("a defect")  # before there is a coroutine

    crawler = Crawler()
    broken = Broken()
    crawler.confirm(broken, "a")
    crawler.clock.advance(0.02)
    crawler.confirm(broken, "b")
    assert len(crawler.clock.getDelayedCalls()) == 1  # a request of its own, not a place in the broken one
