"""The pages that the last run archived are confirmed after a start, as far as their nodes can be reached."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.task import Clock

from lbcompanion.crawler.crawl.unconfirmed import Unconfirmed
from lbcompanion.crawler.fetching.fetcher import FetchPath
from lbcompanion.crawler.queue.archive_index import ArchivedPage
from lbcompanion.model import RoutingCookie

COOKIES = (RoutingCookie("SERVERID", "n1"),)


class Fetcher:
    """Stands for a fetcher, and the nodes behind it."""

    def __init__(self) -> None:
        self.confirmed: list[tuple[tuple[str, ...], FetchPath]] = []

    async def confirm_several(self, tokens: list[str], path: FetchPath, _owner: str) -> dict[str, int]:
        self.confirmed.append((tuple(tokens), path))
        return dict.fromkeys(tokens, 204)

    async def confirm(self, token: str, path: FetchPath) -> bool:
        self.confirmed.append(((token,), path))
        return token != "refused"


class Restart:
    def __init__(self) -> None:
        self.clock, self.fetcher = Clock(), Fetcher()
        self.known: dict[str, tuple[RoutingCookie, ...]] = {"n1": COOKIES}
        nodes = {"n2": SimpleNamespace(direct="http://n2:8080")}
        context: Any = SimpleNamespace(fetcher=self.fetcher, settings=SimpleNamespace(nodes=nodes))
        routes: Any = SimpleNamespace(current=self.current)
        self.counted: list[bool] = []
        self.unconfirmed = Unconfirmed({"main": context}, routes, self.clock, lambda: 0.0, count=self.count)

    def count(self, *, done: bool) -> None:
        self.counted.append(done)

    def current(self, _site: str, node: str, _now: float) -> Any:
        return SimpleNamespace(cookies=self.known[node]) if node in self.known else None

    def start(self, *pages: tuple[str, str]) -> None:
        self.unconfirmed.start([ArchivedPage(token, "main", owner) for token, owner in pages])
        self.clock.advance(0)


def test_each_goes_the_way_to_its_node() -> None:
    restart = Restart()
    restart.start(("t1", "n1"), ("t2", "n2"), ("refused", "n2"))
    assert restart.fetcher.confirmed == [
        (("t1",), FetchPath(COOKIES, route="own n1")),
        (("t2",), FetchPath(direct="http://n2:8080", route="direct n2")),
        (("refused",), FetchPath(direct="http://n2:8080", route="direct n2")),
    ]
    assert sorted(restart.counted) == [False, True, True]
    assert restart.clock.getDelayedCalls() == []


def test_a_route_that_becomes_known_is_used() -> None:
    restart = Restart()
    restart.known = {}
    restart.start(("t1", "n1"))
    assert restart.fetcher.confirmed == []
    restart.known = {"n1": COOKIES}
    restart.clock.advance(5)
    assert restart.counted == [True]


def test_without_a_route_the_copies_expire() -> None:
    restart = Restart()
    restart.start(("t1", "n9"), *[("tx", "n9")] * 3)
    restart.unconfirmed.start([ArchivedPage("t1", "another site", "n1")])
    for _ in range(4):
        restart.clock.advance(60)
    assert restart.fetcher.confirmed == []
    assert restart.clock.getDelayedCalls() == []


def test_a_stop_ends_it() -> None:
    restart = Restart()
    restart.start(("t1", "n9"))
    restart.unconfirmed.stop()
    assert restart.clock.getDelayedCalls() == []
    Restart().unconfirmed.stop()
