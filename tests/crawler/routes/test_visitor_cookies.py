from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from lbcompanion.crawler.queue.backlog import Arrival
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.crawler.routes.visitor_cookies import load_trusted_routes, note_values
from lbcompanion.model import Notice, RoutingCookie
from lbcompanion.settings import SiteSettings, StickyTable
from lbcompanion.sticky.routes import Route, Routes, RouteState, Source

SITES = {"main": SiteSettings("main", "http://www.example.com", sticky=StickyTable(cookies=("SRV",)))}


def route(*cookies: tuple[str, str], source: Source = Source.TRAFFIC, site: str = "main") -> Route:
    return Route(
        site, "n1", tuple(RoutingCookie(*one) for one in cookies), "", RouteState.PROVEN, 1.0, 2.0, None, source
    )


@pytest.fixture
def table(tmp_path: Path) -> RouteTable:
    database = Database(open_engine(f"sqlite:///{tmp_path}/crawler.db"))
    database.open()
    return RouteTable(database)


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (route(("SRV", "n1")), True),
        (route(("SRV", "9f86d081884c7d659a2feaa0c55ad015")), False),
        (route(("d1a5e9d2c4b64f0d8f3f2f6c1b7e9a55", "9f86d081884c7d659a2feaa0c55ad015")), False),
        (route(*((f"_{number:05}", "http://x") for number in range(240))), False),
        (route(("PHPSESSID", "abc")), False),
        (route(("SRV", "n1"), site="gone"), False),
        (evolve(route(("SRV", "n1")), proven_at=None), False),
        (route(("SRV", "9f86d081884c7d659a2feaa0c55ad015"), source=Source.MINTED), True),
        (route(("sess", "9f86d081884c7d659a2feaa0c55ad015"), source=Source.SESSION), True),
    ],
)
def test_routes_of_visitors_are_checked_again(table: RouteTable, stored: Route, kept: bool) -> None:
    table.save(stored)
    assert load_trusted_routes(table, SITES) == ([stored] if kept else [])
    assert table.load() == ([stored] if kept else [])


def test_what_was_allowed_to_be_recorded_is_no_nodes(table: RouteTable) -> None:
    table.save(route(("SRV", "n1")))
    sticky = StickyTable(cookies=("SRV",), allow_credentials=("SRV",))
    assert load_trusted_routes(table, {"main": evolve(SITES["main"], sticky=sticky)}) == []


def test_notices_are_noted() -> None:
    routes = Routes()
    for visitor in ("ann", "bob"):
        notice = Notice(f"1{visitor}", "http://a/", {"SRV": "n1"}, 0.0, 0.0, visitor=visitor)
        note_values(routes, [Arrival(notice, "n1", "main")])
    assert routes.node_cookie_values.belongs_to_node("main", "n1", RoutingCookie("SRV", "n1"))
