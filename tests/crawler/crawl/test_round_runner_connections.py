"""A balancer that sends all requests of a connection to one node: no route reaches another's node by it, and what
came on a connection of other cookies teaches nothing about the cookies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers

from lbcompanion.crawler.fetching.http_client import IdentityCodingAgent
from lbcompanion.settings import SiteSettings, StickyTable
from tests.support.in_memory_crawler import InMemoryCrawler
from tests.support.simulated_farm import SimulatedFarm

pytestmark = pytest.mark.slow

INSERT = StickyTable("haproxy-insert", cookies=("SRV",))


class ConnectionSticks(IdentityCodingAgent):
    """Keeps a connection for each route; the cookies of its first request decide where all of them go."""

    def __init__(self, agent: Any) -> None:
        super().__init__(agent)
        self.first_cookies: dict[str, list[bytes]] = {}
        self.kept = self  # type: ignore[assignment]

    def request_on(
        self, route: str, method: bytes, uri: bytes, headers: Headers, bodyProducer: Any = None
    ) -> Deferred[Any]:
        own = headers.getRawHeaders(b"cookie") or []
        first = self.first_cookies.setdefault(route, own)
        headers.setRawHeaders(b"cookie", first)
        answer = self.request(method, uri, headers, bodyProducer)
        return answer.addCallback(lambda response: self._mark(response, shared=own != first))

    @staticmethod
    def _mark(response: Any, *, shared: bool) -> Any:
        response.on_shared_connection = shared
        return response

    def forget(self, route: str) -> None:
        self.first_cookies.pop(route, None)

    def close(self) -> None:
        self.first_cookies.clear()


class Farm(SimulatedFarm):
    def agents(self, _site: SiteSettings) -> tuple[Any, Any]:
        return ConnectionSticks(self.hosts), ConnectionSticks(self.hosts)


@pytest.fixture
def crawler(tmp_path: Path) -> Any:
    made = InMemoryCrawler(Farm(), tmp_path, sticky=INSERT)
    yield made
    made.close()


def fetched(crawler: InMemoryCrawler, node: str, cookie: str) -> list[tuple[str, str]]:
    """Fetch a new page of a node; the cookie is that of its visitor. Returns rungs and results."""
    token = crawler.farm.nodes[node].capture(b"page")
    crawler.take(token, {"SRV": cookie})
    crawler.run(1)
    assert crawler.row(token)["outcome"] == "archived"
    return [(each[0], each[2]) for each in _attempts(crawler.row(token)["attempts"])]


def _attempts(text: str) -> list[list[Any]]:
    found: list[list[Any]] = json.loads(text)
    return found


def test_nodes_do_not_share_a_connection(crawler: InMemoryCrawler) -> None:
    for node in ("n1", "n2", "n3", "n2", "n1"):
        assert fetched(crawler, node, node) == [("recorded", "archived")]


def test_a_wrong_turn_ends_the_connection(crawler: InMemoryCrawler) -> None:
    assert fetched(crawler, "n1", "n2")[0] == ("recorded", "misrouted")
    assert fetched(crawler, "n1", "n1") == [("recorded", "archived")]


def test_what_came_by_the_connection_does_not_count_for_the_cookies(crawler: InMemoryCrawler) -> None:
    routes, now = crawler.routes, crawler.farm.now
    assert fetched(crawler, "n1", "n1") == [("recorded", "archived")]
    crawler.scheduler._route_refresher.stop()  # type: ignore[union-attr]
    crawler.run(5)
    assert not routes.is_reached("main", "n1", now())
    token = crawler.farm.nodes["n1"].capture(b"page")
    crawler.take(token, {"SRV": "n2"})  # the visitor was moved; the connection leads to n1
    assert crawler.row(token)["outcome"] == "archived"
    assert not routes.is_reached("main", "n1", now())
    token = crawler.farm.nodes["n1"].capture(b"page")
    crawler.take(token, {"SRV": "n1"})
    assert routes.is_reached("main", "n1", now())
