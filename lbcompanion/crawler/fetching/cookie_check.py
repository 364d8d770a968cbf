"""Passes a balancer's cookie check.

The balancer answers a request without its cookie by a redirect to the same address, which sets the cookie. It forwards
the same request with the cookie.
"""

from __future__ import annotations

from attrs import evolve

from lbcompanion.crawler.fetching.http_client import Client, Reply
from lbcompanion.html.urls import origin_of, path_of, resolve_url
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import parse, render, safe_to_send, set_cookie_pairs
from lbcompanion.sticky.set_cookie import MAX_SET_COOKIES, parse_set_cookies

#: How many redirects of one request are followed.
MAX_REDIRECTS = 2
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: ``Expires`` before this time deletes a cookie: servers write a time of 1970 or 1980. In seconds since the epoch.
_EARLIEST_EXPIRY = 1_000_000_000.0


def cookies_to_add(url: str, reply: Reply, sent: tuple[RoutingCookie, ...]) -> tuple[RoutingCookie, ...] | None:
    """Return all cookies with which the request has to be repeated; None if the response is not a cookie check.

    :param url: the URL that was requested. A redirect to another path is not a cookie check.
    :param sent: the cookies that were sent.
    """
    location = reply.header("location")
    if reply.status not in _REDIRECTS or not location or not _is_same_address(url, location):
        return None
    lines = reply.all("set-cookie")[:MAX_SET_COOKIES]
    set_by_reply = parse_set_cookies(lines, _EARLIEST_EXPIRY)
    before = {cookie.name: cookie.value for cookie in sent}
    deleted = set_cookie_pairs(lines).keys() - set_by_reply.keys()
    after = {name: value for name, value in before.items() if name not in deleted}
    after.update({name: cookie.value for name, cookie in set_by_reply.items()})
    cookies = tuple(RoutingCookie(name, value) for name, value in after.items())
    return cookies if after != before and safe_to_send(cookies) else None


def _is_same_address(url: str, location: str) -> bool:
    """Whether a redirect leads to the origin and the path that were asked for; the query may differ."""
    asked, target = resolve_url("", url), resolve_url(url, location)
    return bool(target) and (origin_of(target), path_of(target)) == (origin_of(asked), path_of(asked))


class CookieCheckClient(Client):
    """A client that repeats a request with the cookie of a cookie check. It never follows the redirect's address: each
    request is for the URL that it was asked for.

    The reply has the ``Set-Cookie`` lines of the redirects before its own.
    """

    #: The number of redirects handled so far.
    redirects = 0

    async def ask(
        self,
        method: str,
        url: str,
        headers: list[tuple[str, str]],
        max_bytes: int,
        timeout_seconds: float = 0.0,
        body: bytes = b"",
        route: str = "",
    ) -> Reply:
        """Send one request; see :meth:`Client.ask`."""
        others = [(name, value) for name, value in headers if name.lower() != "cookie"]
        sent = parse("; ".join(value for name, value in headers if name.lower() == "cookie"))
        cookies = tuple(RoutingCookie(name, value) for name, value in sent.items())
        handed: tuple[tuple[str, str], ...] = ()
        reply = await super().ask(method, url, headers, max_bytes, timeout_seconds, body, route)
        for _ in range(MAX_REDIRECTS):
            more = cookies_to_add(url, reply, cookies)
            if more is None:
                break
            self.redirects += 1
            cookies, handed = more, (*handed, *(("set-cookie", line) for line in reply.all("set-cookie")))
            fields = [*others, ("Cookie", render(cookies))] if cookies else others
            reply = await super().ask(method, url, fields, max_bytes, timeout_seconds, body, route)
        return evolve(reply, headers=(*handed, *reply.headers)) if handed else reply
