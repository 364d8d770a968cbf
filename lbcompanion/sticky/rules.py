"""What a dialect's own rule says about a node's cookie, once a proven route has shown that the rule holds here."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import safe_to_send
from lbcompanion.sticky.dialects.interface import NodeFacts
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, RouteState


def computed_by_rule(
    routes: Iterable[Route], reader: CookieReader, facts: Callable[[str], NodeFacts], owner: str
) -> tuple[RoutingCookie, ...]:
    """A node's cookies as the dialects of the site's proven routes would make them.

    A rule counts only where it makes a proven cookie of another node anew, to the letter: a name for a name, a hash
    for a hash. That a cookie is *read* by a dialect says too little.

    :param routes: those of one site.
    :param facts: what is known of a node, by its name.
    :returns: none where no rule is known to hold.
    """
    for route in routes:
        if route.state is RouteState.PROVEN and route.node != owner and route.cookies:
            made = tuple(_remade(cookie, route.node, reader, facts, owner) for cookie in route.cookies)
            whole = tuple(cookie for cookie in made if cookie is not None)
            if len(whole) == len(made) and safe_to_send(whole):
                return whole
    return ()


def _remade(
    cookie: RoutingCookie, node: str, reader: CookieReader, facts: Callable[[str], NodeFacts], owner: str
) -> RoutingCookie | None:
    dialect = reader.dialect_of(cookie.name, cookie.value)
    if dialect is None or dialect.forge(facts(node), (cookie.name,)) != cookie:
        return None
    return dialect.forge(facts(owner), (cookie.name,))


def tells_node(reader: CookieReader, cookies: Iterable[RoutingCookie]) -> bool:
    """Whether all these are node values: the same for every visitor of the node, so that one visitor's value may serve
    as a guess at a route of our own. A value that is a visitor's own, or whose replay could move one, is none."""
    told = [_tells_node(reader, cookie) for cookie in cookies]
    return bool(told) and all(told)


def _tells_node(reader: CookieReader, cookie: RoutingCookie) -> bool:
    dialect = reader.dialect_of(cookie.name, cookie.value)
    if dialect is None or dialect.moves_visitor:
        return False
    # Where a dialect compares what is handed out with what was sent, the value stands for the node.
    return dialect.reveal(cookie) is not None or dialect.moved((cookie,), (f"{cookie.name}={cookie.value}",)) is False
