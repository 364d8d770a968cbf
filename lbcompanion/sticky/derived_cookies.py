"""Cookies derived by a dialect's rule, after a proven route has shown that the rule applies to this site."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import names_match, render, safe_to_send
from lbcompanion.sticky.credentials import looks_like_id, looks_like_node_text, may_be_session
from lbcompanion.sticky.dialects.interface import Dialect, NodeFacts
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, RouteState

#: What a visitor's cookies may weigh for the crawler to send them for others; a balancer's weigh 20 to 200 bytes.
_MAX_ADOPTED_BYTES = 512


def derive_cookie(
    routes: Iterable[Route], reader: CookieReader, facts: Callable[[str], NodeFacts], owner: str
) -> tuple[RoutingCookie, ...]:
    """Derive a node's cookies by the dialects of the site's proven routes.

    A rule applies only if it reproduces a proven cookie of another node exactly. That a dialect can *read* the cookie
    is not enough.

    :param routes: those of one site.
    :param facts: returns the configured facts of a node, by its name.
    :returns: empty if no rule is known to apply.
    """
    for route in routes:
        if route.state is RouteState.PROVEN and route.node != owner and route.cookies:
            derived = tuple(_derived(cookie, route.node, reader, facts, owner) for cookie in route.cookies)
            complete = tuple(cookie for cookie in derived if cookie is not None)
            if len(complete) == len(derived) and safe_to_send(complete):
                return complete
    return ()


def _derived(
    cookie: RoutingCookie, node: str, reader: CookieReader, facts: Callable[[str], NodeFacts], owner: str
) -> RoutingCookie | None:
    dialect = reader.dialect_of(cookie.name, cookie.value)
    if dialect is None or dialect.compute(facts(node), (cookie.name,)) != cookie:
        return None
    return dialect.compute(facts(owner), (cookie.name,))


def identifies_node(reader: CookieReader, cookies: Iterable[RoutingCookie]) -> bool:
    """Whether all these are node values: the same for every visitor of the node, so that one visitor's value may serve
    as a candidate route. Values that belong to one visitor, or whose replay could move a visitor, do not count."""
    node_text = [_identifies_node(reader, cookie) for cookie in cookies]
    return bool(node_text) and all(node_text)


def may_be_adopted(reader: CookieReader, cookies: Iterable[RoutingCookie]) -> bool:
    """Whether the cookies of one visitor may become the crawler's own route to the node, and so be sent for the pages
    of others: they are node values, no session's cookie is among them under any dialect, and they are as few
    and as small as a balancer's. Names and values prove nothing, because a visitor can write any.
    """
    found = list(cookies)
    writers = [reader.dialect_of(cookie.name, cookie.value) for cookie in found]
    few = len({dialect.name for dialect in writers if dialect is not None}) == len(found)
    if not few or len(render(found)) > _MAX_ADOPTED_BYTES or not identifies_node(reader, found):
        return False
    return not any(dialect and _is_opaque(dialect, cookie) for dialect, cookie in zip(writers, found, strict=True))


def may_be_tried(cookies: Iterable[RoutingCookie], allowed_credentials: Iterable[str] = ()) -> bool:
    """Whether cookies that many visitors of a node sent may be tried as the crawler's own route, although no dialect
    knows that they are node values: they look like names or addresses of nodes, no name is that of a session or
    is configured as one, and they are small."""
    found, allowed = list(cookies), tuple(allowed_credentials)
    if not found or len(render(found)) > _MAX_ADOPTED_BYTES or not safe_to_send(found):
        return False
    return all(
        looks_like_node_text(each.value)
        and not may_be_session(each.name, each.value)
        and not names_match(allowed, each.name)
        for each in found
    )


def _is_opaque(dialect: Dialect, cookie: RoutingCookie) -> bool:
    """Whether the value, or what the dialect reads in it, may be a session's id. An address in base64 is not."""
    node_text = dialect.node_of(cookie)
    return looks_like_id(cookie.value if node_text is None else node_text)


def _identifies_node(reader: CookieReader, cookie: RoutingCookie) -> bool:
    dialect = reader.dialect_of(cookie.name, cookie.value)
    if dialect is None or dialect.moves_visitor:
        return False
    if reader.detects_dialects and _is_opaque(dialect, cookie):
        return False
    # Where a dialect compares what is handed out with what was sent, the value stands for the node.
    return (
        dialect.node_of(cookie) is not None
        or dialect.detects_move((cookie,), (f"{cookie.name}={cookie.value}",)) is False
    )
