from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.crawler.crawl.route_exchange import RouteExchange, is_newer
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.model import RoutingCookie
from lbcompanion.settings import SiteSettings
from lbcompanion.sticky.routes import Route, Routes, RouteState, Source

PROVEN = Route("main", "n1", (RoutingCookie("SRV", "x"),), "", RouteState.PROVEN, 1.0, 50.0)
STALE = evolve(PROVEN, state=RouteState.STALE)
OTHER = evolve(PROVEN, cookies=(RoutingCookie("SRV", "y"),))
CANDIDATE = evolve(OTHER, state=RouteState.CANDIDATE, proven_at=None, learnt_at=2.0)


@pytest.mark.parametrize(
    ("stored", "own", "newer"),
    [
        (PROVEN, None, True),
        (CANDIDATE, None, True),
        (PROVEN, PROVEN, False),
        (PROVEN, STALE, False),
        (STALE, PROVEN, True),
        (evolve(PROVEN, proven_at=51.0), STALE, True),
        (STALE, evolve(PROVEN, proven_at=51.0), False),
        (PROVEN, CANDIDATE, True),
        (CANDIDATE, PROVEN, False),
        (CANDIDATE, STALE, False),
        (CANDIDATE, evolve(CANDIDATE, cookies=PROVEN.cookies, learnt_at=1.0), True),
        (evolve(CANDIDATE, learnt_at=0.0), evolve(CANDIDATE, cookies=PROVEN.cookies, learnt_at=1.0), False),
    ],
)
def test_which_route_says_more(stored: Route, own: Route | None, newer: bool) -> None:
    assert is_newer(stored, own) is newer


def test_routes_of_other_crawlers_are_taken_over() -> None:
    database = Database(open_engine("sqlite://"))
    database.open()
    table, routes, proven = RouteTable(database), Routes(), []
    exchange = RouteExchange(table, routes, {"main": SiteSettings("main", "http://a")}, proven.append)
    session = evolve(CANDIDATE, node="n2", source=Source.TRAFFIC, cookies=(RoutingCookie("PHPSESSID", "x"),))
    for route in (PROVEN, session, evolve(CANDIDATE, node="n3")):
        table.save(route)
    for _ in range(2):
        exchange.take_over(exchange.load())
    assert proven == ["n1"]
    assert [route.node for route in routes] == ["n1", "n3"]
    table.save(STALE)
    exchange.take_over(exchange.load())
    assert routes.get("main", "n1") == STALE
    database.close()


def test_a_crawler_that_knows_less_overwrites_nothing() -> None:
    database = Database(open_engine("sqlite://"))
    database.open()
    database.claimant = "a/1"
    table = RouteTable(database)
    for route in (CANDIDATE, PROVEN, CANDIDATE, evolve(OTHER, proven_at=49.0)):
        table.save(route)
    assert table.load() == [PROVEN]
    table.save(STALE)
    assert table.load() == [STALE]
    database.close()
