"""Passes a balancer's cookie check: a request without its cookie is answered by a redirect to the same address, which
sets the cookie; the same request with the cookie is let through."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from attrs import evolve

from lbcompanion.crawler.fetching.http_client import Client, FetchFailed, Reply
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import render, safe_to_send, set_cookie_pairs

#: How many redirects of one request are followed.
MAX_REDIRECTS = 2
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def cookie_header(cookies: tuple[RoutingCookie, ...]) -> str:
    """Return the value of the ``Cookie`` header; cookie values are sent raw.

    :raises FetchFailed: ``bad cookie`` if the cookies are unsafe in a header or too long. Recorded and stored cookies
        are always safe, so these were tampered with.
    """
    if not safe_to_send(cookies):
        raise FetchFailed("bad cookie")
    return render(cookies)


def cookies_to_add(url: str, reply: Reply, sent: tuple[RoutingCookie, ...]) -> tuple[RoutingCookie, ...] | None:
    """Return all cookies with which the request has to be repeated; None if the response is no cookie check.

    :param url: the URL that was asked for. A redirect to another path is none of a cookie check.
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


async def ask_with_cookies(
    client: Client,
    method: str,
    url: str,
    headers: list[tuple[str, str]],
    cookies: tuple[RoutingCookie, ...],
    max_bytes: int,
    timeout_seconds: float = 0.0,
    body: bytes = b"",
) -> tuple[Reply, int]:
    """Send one request, and repeat it with the cookie of a cookie check. The address of the redirect is not followed:
    the request is always for ``url``.

    :param headers: all fields but ``Cookie``.
    :returns: the response, with the ``Set-Cookie`` lines of the redirects before its own; and how many there were.
    :raises FetchFailed: if no complete response came, or the cookies cannot be sent.
    """
    handed: tuple[tuple[str, str], ...] = ()
    for redirects in range(MAX_REDIRECTS + 1):
        lines = [("Cookie", cookie_header(cookies))] if cookies else []
        reply = await client.ask(method, url, [*headers, *lines], max_bytes, timeout_seconds, body)
        more = cookies_to_add(url, reply, cookies) if redirects < MAX_REDIRECTS else None
        if more is None:
            break
        handed += tuple(("set-cookie", line) for line in reply.all("set-cookie"))
        cookies = more
    return evolve(reply, headers=(*handed, *reply.headers)), redirects
