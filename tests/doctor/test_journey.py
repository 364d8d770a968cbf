from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from lbcompanion.crawler.fetching.http_client import FetchFailed, Reply
from lbcompanion.doctor.journey import JourneyProber, Tag, read_tag, read_upstream_use
from lbcompanion.doctor.observations import DONE, Journey, UpstreamUse
from lbcompanion.html.snippets import default_tag_parts
from lbcompanion.settings import LimitsTable
from tests.support.in_memory_node import InMemoryNode

URL = "http://www.example.com/shop/item"
TOKEN = "1AAECAwQFBgcICQoLDA0ODwJhrmOgryn1"
_PARTS = default_tag_parts("http://www.example.com/_lbc/page/", "./-/_lbc/fetch-from?v=1", None, xhtml=False)
TAG = TOKEN.encode().join(_PARTS)
HTML = ("content-type", "text/html")
SCRIPT = Reply(200, (("content-type", "text/javascript; charset=utf-8"),), b"1")
REFUSED = Reply(400, (("content-type", "text/plain"),), b"not a token of this version\n")


@pytest.mark.parametrize("nonce", [None, "abc"])
@pytest.mark.parametrize("xhtml", [True, False])
def test_the_tag_is_read(nonce: str | None, xhtml: bool) -> None:
    parts = default_tag_parts("http://a/_lbc/page/", "./-/_lbc/fetch-from?v=1&x=\"'<", nonce, xhtml=xhtml)
    page = b"<p>" + TOKEN.encode().join(parts) + b"</p>"
    script, copy = "./-/_lbc/fetch-from?v=1&x=\"'<", f"http://a/_lbc/page/{TOKEN}"
    assert read_tag(page) == Tag(TOKEN, script, copy, nonce is not None)


@pytest.mark.parametrize("page", [b"", b"<script src=x></script>", b'<script data-lbc-token="no token!">'])
def test_no_tag(page: bytes) -> None:
    assert read_tag(page) is None


class Site:
    """A client with replies, in order; words are failures."""

    def __init__(self, *replies: Reply | str) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    async def ask(
        self, method: str, url: str, headers: Any, _most: int, _seconds: float = 0.0, body: bytes = b""
    ) -> Reply:
        self.asked.append((method, url, dict(headers), body))
        reply = self.replies.pop(0)
        if isinstance(reply, str):
            raise FetchFailed(reply)
        return reply


def made(site: Any, url: str = URL) -> Journey:
    found: list[Journey] = []
    prober = JourneyProber(
        url=url, user_agent="doctor", client=site, fetcher=None, mint=lambda: "", on_request=lambda: True
    )
    Deferred.fromCoroutine(prober.run()).addCallback(found.append)
    return found[0]


def test_page_script_and_notice() -> None:
    site = Site(Reply(200, (HTML, ("set-cookie", "SRV=n1; path=/")), TAG), SCRIPT, REFUSED)
    journey = made(site)
    assert (journey.page, journey.script, journey.notice, journey.forbidden) == (DONE, DONE, DONE, "")
    assert journey.page_origin == "http://www.example.com"
    assert [(method, url) for method, url, _, _ in site.asked] == [
        ("GET", URL),
        ("GET", "http://www.example.com/shop/-/_lbc/fetch-from?v=1"),
        ("POST", "http://www.example.com/shop/-/_lbc/notice"),
    ]
    assert [headers.get("Cookie") for _, _, headers, _ in site.asked] == [None, "SRV=n1", "SRV=n1"]
    assert site.asked[2][2]["Origin"] == "http://www.example.com"
    assert b'"token":"doctor"' in site.asked[2][3]


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        (["timeout"], ("timeout", "", "")),
        ([Reply(200, (HTML,), b"<p>")], ("no tag", "", "")),
        ([Reply(200, (("content-type", "image/png"),), b"")], ("not HTML", "", "")),
        ([Reply(503, (HTML,), b"")], ("status 503", "", "")),
        ([Reply(200, (HTML,), TAG), Reply(403, (), b""), REFUSED], (DONE, "status 403", DONE)),
        ([Reply(200, (HTML,), TAG), Reply(200, (HTML,), b"hi"), "refused"],
         (DONE, "text/html instead of a script", "refused")),
        ([Reply(200, (HTML,), TAG), SCRIPT, Reply(400, (), b"Bad Request")], (DONE, DONE, "status 400")),
        ([Reply(200, (HTML,), TAG), SCRIPT, Reply(200, (), b"")], (DONE, DONE, "status 200")),
    ],
)  # fmt: skip
def test_what_came_instead(replies: list[Reply | str], expected: tuple[str, str, str]) -> None:
    journey = made(Site(*replies))
    assert (journey.page, journey.script, journey.notice) == expected


@pytest.mark.parametrize(
    ("policy", "forbidden"),
    [
        ("script-src 'none'", "script-src"),
        ("script-src 'self'; connect-src 'self'", ""),
        ("connect-src 'none'", "connect-src"),
    ],
)
def test_the_policy_that_arrives_counts(policy: str, forbidden: str) -> None:
    site = Site(Reply(200, (HTML, ("content-security-policy", policy)), TAG), SCRIPT, REFUSED)
    assert made(site).forbidden == forbidden


def test_the_debug_page_tells_about_connections_to_the_application() -> None:
    node = InMemoryNode(limits=LimitsTable(upstream_connections=7))
    node.get(b"/shop")
    assert read_upstream_use(Reply(200, (), node.debug("").body)) == UpstreamUse("n1", 7, 7, 0, 0, 1)
    assert b"Connections to the application" in node.debug("", b"Accept: text/html").body


@pytest.mark.parametrize(
    "reply",
    [
        Reply(403, (), b"{}"),
        Reply(200, (), b"<html>"),
        Reply(200, (), b"{}"),
        Reply(200, (), b"[]"),
        Reply(200, (), b"[" * 100_000),
        Reply(
            200,
            (),
            b'{"node":"n1","upstream":{"limit":1e999,"workers":0,"waited":0,"requests":0},'
            b'"settings":{"limits":{"upstream_connections":1}}}',
        ),
        Reply(200, (), b'{"node":"n1","upstream":{"limit":"many"},"settings":{"limits":{"upstream_connections":1}}}'),
    ],
)
def test_without_a_debug_page_nothing_is_said(reply: Reply) -> None:
    assert read_upstream_use(reply) is None
