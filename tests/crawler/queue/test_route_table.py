from __future__ import annotations

from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState


def fresh() -> RouteTable:
    database = Database(open_engine("sqlite://"))
    database.open()
    return RouteTable(database)


def test_routes_are_kept() -> None:
    table = fresh()
    route = Route("main", "n1", (RoutingCookie("SRV", "x"),), "caddy", RouteState.CANDIDATE, 1.0)
    table.save(route)
    assert table.load() == [route]
    later = Route("main", "n1", (RoutingCookie("SRV", "y"),), "", RouteState.PROVEN, 2.0, 3.0)
    table.save(later)
    assert table.load() == [later]
