"""Takes cookie values from visitors' notices as candidates for the crawler's own routes, and drops forbidden ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twisted.logger import Logger

from lbcompanion.crawler.queue.backlog import Arrival
from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.settings import SiteSettings
from lbcompanion.sticky.derived_cookies import may_be_adopted, may_be_tried
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes, Source


def note_values(routes: Routes, arrivals: Iterable[Arrival]) -> None:
    """Note the cookies of new notices, so that values that many visitors of a node sent can be found."""
    for arrival in arrivals:
        notice = arrival.notice
        # A node of an earlier version sends the sender's pseudonym as ``visitor``.
        sender = notice.sender or notice.visitor
        routes.node_cookie_values.note(arrival.site, arrival.owner, sender, notice.token, notice.cookies.items())


def load_trusted_routes(table: RouteTable, sites: Mapping[str, SiteSettings]) -> list[Route]:
    """Load the stored routes. Delete those from visitors' cookies that the installed version's rules forbid.

    An earlier version, or another configuration, may have allowed a session's cookie.
    """
    kept = []
    for route in table.load():
        if not is_trusted(route, sites.get(route.site)):
            table.drop(route)
            Logger(namespace="lbcompanion.crawler.minting").info(
                "the stored route to {node} of {site} came from a visitor's cookie that is no node's: deleted",
                node=route.node,
                site=route.site,
            )
        else:
            kept.append(route)
    return kept


def is_trusted(route: Route, site: SiteSettings | None) -> bool:
    """Whether a stored route may be used; one from visitors' cookies has to obey the rules of this version."""
    return route.source is not Source.TRAFFIC or _may_be_kept(route, site)


def _may_be_kept(route: Route, site: SiteSettings | None) -> bool:
    if site is None:
        return False
    reader = CookieReader(site.sticky)
    if may_be_adopted(reader, route.cookies):
        return True
    # Many visitors sent them when they were learnt; this is not stored, but a replay proved them since.
    is_read = {cookie.name for cookie in reader.read({one.name: one.value for one in route.cookies})}
    known = all(cookie.name in is_read for cookie in route.cookies)
    return known and route.proven_at is not None and may_be_tried(route.cookies, site.sticky.allow_credentials)
