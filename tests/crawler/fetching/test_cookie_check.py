from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from lbcompanion.crawler.fetching.cookie_check import MAX_REDIRECTS, ask_with_cookies, cookie_header, cookies_to_add
from lbcompanion.crawler.fetching.http_client import FetchFailed, Reply
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
    ("reply", "sent"),
    [
        (redirect("/login", "SRV=n2"), ()),
        (redirect("http://other.example.com/_lbc/whoami", "SRV=n2"), ()),
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


class Replies:
    """A client with replies."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.sent: list[list[tuple[str, str]]] = []

    async def ask(self, _method: str, url: str, headers: Any, *_more: Any) -> Reply:
        assert url == URL
        self.sent.append(headers)
        return self.replies.pop(0)


def asked(client: Any) -> tuple[Reply, int]:
    found: list[tuple[Reply, int]] = []
    Deferred.fromCoroutine(ask_with_cookies(client, "GET", URL, [("A", "b")], SENT, 100)).addCallback(found.append)
    return found[0]


def test_the_request_is_repeated_with_the_cookie() -> None:
    client = Replies(redirect(URL, "SRV=n2"), Reply(200, (("set-cookie", "c=d"),), b"hello"))
    reply, redirects = asked(client)
    assert (reply.status, redirects) == (200, 1)
    assert reply.all("set-cookie") == ("SRV=n2", "c=d")
    assert client.sent == [[("A", "b"), ("Cookie", "SRV=n1")], [("A", "b"), ("Cookie", "SRV=n2")]]


def test_it_is_bounded() -> None:
    client = Replies(*(redirect(URL, f"SRV=x{number}") for number in range(9)))
    reply, redirects = asked(client)
    assert (reply.status, redirects, len(client.sent)) == (302, MAX_REDIRECTS, MAX_REDIRECTS + 1)


@pytest.mark.parametrize("value", ["a;b", "\x7f", "é", "a\n", " a", "x" * 4097])
def test_cookies_that_cannot_be_sent(value: str) -> None:
    with pytest.raises(FetchFailed):
        cookie_header((RoutingCookie("SRV", value),))


@pytest.mark.parametrize(
    "value", ["", "n1~", ".n2", '"MTI3LjAuMC4x"', "a b", "a,b", 'a"b', "a\\b", "a=b==", "!$%&'()*"]
)
def test_cookies_are_sent_raw(value: str) -> None:
    assert cookie_header((RoutingCookie("SRV", value), RoutingCookie("b", "c"))) == f"SRV={value}; b=c"
