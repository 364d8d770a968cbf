"""Passes a balancer's cookie check.

The balancer answers a request without its cookie by a redirect to the same address, which sets the cookie. It forwards
the same request with the cookie.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from attrs import evolve

from lbcompanion.crawler.fetching.http_client import Client, Reply
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import parse, render, safe_to_send, set_cookie_pairs

#: How many redirects of one request are followed.
MAX_REDIRECTS = 2
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def cookies_to_add(url: str, reply: Reply, sent: tuple[RoutingCookie, ...]) -> tuple[RoutingCookie, ...] | None:
    """Return all cookies with which the request has to be repeated; None if the response is not a cookie check.

    :param url: the URL that was requested. A redirect to another path is not a cookie check.
    :param sent: the cookies that were sent.
    """
    location = reply.header("location")
    if reply.status not in _REDIRECTS or not location:
        return None
    asked = urlsplit(url)
    try:
        target = urlsplit(urljoin(url, location))
        same = (target.scheme, target.netloc.lower(), target.path) == (asked.scheme, asked.netloc.lower(), asked.path)
    except ValueError:
        return None
    before = {cookie.name: cookie.value for cookie in sent}
    after = {**before, **set_cookie_pairs(reply.all("set-cookie"))}
    cookies = tuple(RoutingCookie(name, value) for name, value in after.items())
    return cookies if same and after != before and safe_to_send(cookies) else None


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
    ) -> Reply:
        """Send one request; see :meth:`Client.ask`."""
        others = [(name, value) for name, value in headers if name.lower() != "cookie"]
        sent = parse("; ".join(value for name, value in headers if name.lower() == "cookie"))
        cookies = tuple(RoutingCookie(name, value) for name, value in sent.items())
        handed: tuple[tuple[str, str], ...] = ()
        reply = await super().ask(method, url, headers, max_bytes, timeout_seconds, body)
        for _ in range(MAX_REDIRECTS):
            more = cookies_to_add(url, reply, cookies)
            if more is None:
                break
            self.redirects += 1
            cookies, handed = more, (*handed, *(("set-cookie", line) for line in reply.all("set-cookie")))
            fields = [*others, ("Cookie", render(cookies))]
            reply = await super().ask(method, url, fields, max_bytes, timeout_seconds, body)
        return evolve(reply, headers=(*handed, *reply.headers)) if handed else reply
