"""The crawler's own routes in the database, so that they survive a restart: one row for each site and node."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Row

from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.schema import ROUTES
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState, Source


class RouteTable:
    """The routes, over the crawler's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[Route]:
        """Return all stored routes."""
        with self._database.read() as connection:
            return [_route(row) for row in connection.execute(select(ROUTES)).all()]

    def save(self, route: Route) -> None:
        """Store a route, replacing the one of its site and node."""
        values = {
            "cookies": json.dumps([[each.name, each.value] for each in route.cookies]),
            "dialect": route.dialect,
            "state": route.state.value,
            "learnt_at": route.learnt_at,
            "proven_at": route.proven_at,
            "expires_at": route.expires_at,
            "source": route.source.value,
        }
        where = (ROUTES.c.site == route.site, ROUTES.c.node == route.node)
        with self._database.change() as connection:
            if connection.execute(update(ROUTES).where(*where).values(values)).rowcount == 0:
                connection.execute(insert(ROUTES).values(site=route.site, node=route.node, **values))


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
