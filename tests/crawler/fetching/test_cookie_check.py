from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer

from lbcompanion.crawler.fetching.cookie_check import MAX_REDIRECTS, CookieCheckClient, cookies_to_add
from lbcompanion.crawler.fetching.http_client import Reply
from lbcompanion.model import RoutingCookie

URL = "http://www.example.com/_lbc/whoami"
SENT = (RoutingCookie("SRV", "n1"),)


def redirect(location: str = URL, *set_cookies: str, status: int = 302) -> Reply:
    fields = [("location", location), *(("set-cookie", line) for line in set_cookies)]
    return Reply(status, tuple(fields), b"")


@pytest.mark.parametrize("location", [URL, "/_lbc/whoami", "whoami", "HTTP://WWW.EXAMPLE.COM/_lbc/whoami?x=1", "?"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_same_address_with_a_cookie(location: str, status: int) -> None:
    reply = redirect(location, "SRV=n2; path=/", "a=b", status=status)
    assert cookies_to_add(URL, reply, ()) == (RoutingCookie("SRV", "n2"), RoutingCookie("a", "b"))


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("http://www.example.com/_lbc/whoami", "http://www.example.com:80/_lbc/whoami"),
        ("https://www.example.com/_lbc/whoami", "https://www.example.com:443/_lbc/whoami?checked"),
        ("http://www.example.com:80/_lbc/whoami", "http://www.example.com/_lbc/whoami#top"),
        ("http://www.example.com:8080/_lbc/whoami", "//WWW.EXAMPLE.com:8080/x/../_lbc/whoami"),
        ("http://b\xfccher.example/_lbc/whoami", "http://xn--bcher-kva.example/_lbc/whoami"),
    ],
)
def test_the_same_address_in_another_spelling(url: str, location: str) -> None:
    assert cookies_to_add(url, redirect(location, "SRV=n2"), ()) == (RoutingCookie("SRV", "n2"),)


@pytest.mark.parametrize(
    "deletion",
    ["SRV=; path=/", "SRV=x; Max-Age=0", "SRV=x; Max-Age=-1", "SRV=x; Expires=Thu, 01 Jan 1970 00:00:10 GMT"],
)
def test_a_deleted_cookie_is_not_sent_again(deletion: str) -> None:
    assert cookies_to_add(URL, redirect(URL, deletion, "ROUTE=b"), SENT) == (RoutingCookie("ROUTE", "b"),)
    assert cookies_to_add(URL, redirect(URL, deletion), SENT) == ()
    assert cookies_to_add(URL, redirect(URL, deletion), ()) is None


def test_a_cookie_that_cannot_be_sent_is_left_out() -> None:
    assert cookies_to_add(URL, redirect(URL, "a=b\x80c", "SRV=n2"), ()) == (RoutingCookie("SRV", "n2"),)


@pytest.mark.parametrize(
    ("reply", "sent"),
    [
        (redirect("/login", "SRV=n2"), ()),
        (redirect("http://other.example.com/_lbc/whoami", "SRV=n2"), ()),
        (redirect("http://www.example.com@other.example.com/_lbc/whoami", "SRV=n2"), ()),
        (redirect("http://user@www.example.com/_lbc/whoami", "SRV=n2"), ()),
        (redirect("//other.example.com/_lbc/whoami", "SRV=n2"), ()),
        (redirect("http://www.example.com./_lbc/whoami", "SRV=n2"), ()),
        (redirect("http://www.example.com:81/_lbc/whoami", "SRV=n2"), ()),
        (redirect("/_LBC/whoami", "SRV=n2"), ()),
        (redirect("/_lbc/whoami/", "SRV=n2"), ()),
        (redirect("javascript:alert(1)", "SRV=n2"), ()),
        (redirect("https://www.example.com/_lbc/whoami", "SRV=n2"), ()),
        (redirect("http://[/", "SRV=n2"), ()),
        (redirect(URL), ()),
        (redirect(URL, "SRV=n1"), SENT),
        (redirect(URL, "SRV=" + "x" * 5000), ()),
        (redirect(URL, "SRV=n2", status=200), ()),
        (Reply(302, (("set-cookie", "SRV=n2"),), b""), ()),
    ],
)
def test_what_is_no_cookie_check(reply: Reply, sent: tuple[RoutingCookie, ...]) -> None:
    assert cookies_to_add(URL, reply, sent) is None


@implementer(IAgent)
class Replies:
    """An agent with replies, as the real one would give them."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.sent: list[list[str]] = []

    def request(self, method: bytes, uri: bytes, headers: Any = None, bodyProducer: Any = None) -> Deferred[Any]:
        assert uri.decode() == URL
        self.sent.append([value.decode() for value in headers.getRawHeaders(b"cookie", [])])
        return execute(lambda: self.replies.pop(0))


class Asked(CookieCheckClient):
    """The client, over these replies."""

    async def _ask(self, method: str, url: str, headers: Any, max_bytes: int, body: bytes, route: str) -> Reply:
        sent = Headers()
        for name, value in headers:
            sent.addRawHeader(name, value)
        reply: Reply = await self._agent.request(method.encode(), url.encode(), sent)
        return reply


def asked(replies: Replies) -> tuple[Reply, int]:
    client, found = Asked(replies, Clock(), 5.0), []
    asking = client.ask("GET", URL, [("A", "b"), ("Cookie", "SRV=n1")], 100)
    Deferred.fromCoroutine(asking).addCallback(found.append)
    return found[0], client.redirects


def test_the_request_is_repeated_with_the_cookie() -> None:
    replies = Replies(redirect(URL, "SRV=n2"), Reply(200, (("set-cookie", "c=d"),), b"hello"))
    reply, redirects = asked(replies)
    assert (reply.status, redirects) == (200, 1)
    assert reply.all("set-cookie") == ("SRV=n2", "c=d")
    assert replies.sent == [["SRV=n1"], ["SRV=n2"]]


def test_it_is_bounded() -> None:
    replies = Replies(*(redirect(URL, f"SRV=x{number}") for number in range(9)))
    reply, redirects = asked(replies)
    assert (reply.status, redirects, len(replies.sent)) == (302, MAX_REDIRECTS, MAX_REDIRECTS + 1)
