"""The crawler's own routes in the database, so that they survive a restart: one row for each site and node."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.engine import Row

from lbcompanion.crawler.queue.database import Database, insert_new
from lbcompanion.crawler.queue.schema import ROUTES
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState, Source

#: What other crawlers are notified of.
ROUTES_CHANGED = "routes"


class RouteTable:
    """The routes, over the crawler's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[Route]:
        """Return all stored routes."""
        with self._database.read() as connection:
            return [_route(row) for row in connection.execute(select(ROUTES)).all()]

    def save(self, route: Route) -> None:
        """Store a route, replacing the one of its site and node, unless another crawler has proven that one later."""
        values = {
            "cookies": json.dumps([[each.name, each.value] for each in route.cookies]),
            "dialect": route.dialect,
            "state": route.state.value,
            "learnt_at": route.learnt_at,
            "proven_at": route.proven_at,
            "expires_at": route.expires_at,
            "source": route.source.value,
        }
        key = {"site": route.site, "node": route.node}
        where = [ROUTES.c.site == route.site, ROUTES.c.node == route.node]
        if self._database.claimant is not None:
            # Another crawler may have proven a route since.
            where.append(func.coalesce(ROUTES.c.proven_at, 0.0) <= (route.proven_at or 0.0))
        with self._database.change() as connection:
            if connection.execute(update(ROUTES).where(*where).values(values)).rowcount == 0:
                insert_new(connection, ROUTES, [{**key, **values}])
            if route.state is not RouteState.CANDIDATE:
                self._database.notify(connection, ROUTES_CHANGED)

    def drop(self, route: Route) -> None:
        """Delete the route of a site and node."""
        where = (ROUTES.c.site == route.site, ROUTES.c.node == route.node)
        with self._database.change() as connection:
            connection.execute(delete(ROUTES).where(*where))


def _route(row: Row[Any]) -> Route:
    cookies = tuple(RoutingCookie(name, value) for name, value in json.loads(row.cookies))
    return Route(
        site=row.site,
        node=row.node,
        cookies=cookies,
        dialect=row.dialect,
        state=RouteState(row.state),
        learnt_at=row.learnt_at,
        proven_at=row.proven_at,
        expires_at=row.expires_at,
        source=Source(row.source or Source.MINTED.value),
    )
