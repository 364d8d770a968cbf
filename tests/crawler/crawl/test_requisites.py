from __future__ import annotations

import html
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.web.server import Request
from warcio.archiveiterator import ArchiveIterator

from lbcompanion.crawler.archive.warc_records import Asset, asset_record, info_record, page_record, revisit_record
from lbcompanion.crawler.crawl.requisites import Requisites, css_links, origin_of, page_links
from lbcompanion.crawler.fetching.fetcher import FetchedCopy, FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import Client, IdentityCodingAgent
from lbcompanion.model import to_rfc3339
from lbcompanion.protocol.tokens import digest_of
from lbcompanion.settings import SiteSettings
from tests.support.simulated_farm import ORIGIN, SECRET, SimulatedFarm


def links(markup: str, url: str = "http://www.example.com/dir/page") -> list[str]:
    return page_links(FetchedCopy("n1", url, "GET", 200, "text/html", 0.0, "own", b"", markup.encode()))


def test_what_a_page_needs() -> None:
    markup = """<html><head><link rel="stylesheet" href="a.css"><link rel=canonical href="/not-this">
    <script src="/b.js#x"></script><style>@import "c.css"; body { background: url( 'd.png' ) }</style></head>
    <body background=e.gif><img src=f.png srcset="g.png 1x, h.png 2x"><a href="/nor-this">x</a>
    <p style="background:url(i.png)"><link rel="preload" as=font href=/j.woff2></body>"""
    base = "http://www.example.com"
    assert links(markup) == [
        f"{base}/dir/a.css", f"{base}/b.js", f"{base}/dir/c.css", f"{base}/dir/d.png", f"{base}/dir/e.gif",
        f"{base}/dir/f.png", f"{base}/dir/g.png", f"{base}/dir/h.png", f"{base}/dir/i.png", f"{base}/j.woff2",
    ]  # fmt: skip


def test_a_base_counts() -> None:
    assert links('<base href="/other/"><img src=x.png>') == ["http://www.example.com/other/x.png"]


def test_style_sheets() -> None:
    text = "@import url(a.css); @import 'b.css'; @font-face { src: url(\"c.woff2\") format('woff2') } x{y:url()}"
    assert css_links(text) == ["a.css", "b.css", "c.woff2"]


@pytest.mark.slow
@given(st.text(max_size=300))
def test_no_page_is_too_odd(text: str) -> None:
    for url in links(f"<img src='{text}'><style>{text}{text}"):
        origin_of(url)


def test_origins() -> None:
    assert origin_of("http://A.example/x") == origin_of("http://a.example:80")
    assert origin_of("https://a.example") != origin_of("http://a.example")
    assert origin_of("http://[::1") == ("", "", None)
    assert origin_of("http://a:99999999/") == ("", "", None)


def test_what_is_written_oddly_is_read_as_browsers_do() -> None:
    markup = (
        '<img src="/\u00fcmlaut.png"><img src="/q.png?x=\u00fc&amp;y=1"><img src="/back\\slash.png"><img src="/a|b">'
    )
    base = "http://www.example.com"
    assert links(markup) == [
        f"{base}/%C3%BCmlaut.png", f"{base}/q.png?x=%C3%BC&y=1", f"{base}/back/slash.png", f"{base}/a|b",
    ]  # fmt: skip


def test_a_base_that_is_none_does_not_count() -> None:
    assert links('<base href="data:,x"><img src=x.png>') == ["http://www.example.com/dir/x.png"]


class Gathered:
    """What the files of a page became: requested at a server in memory, and written into a WARC file."""

    def __init__(self, markup: str, css: str = "", page_url: str = "http://www.example.com/dir/page") -> None:
        self.asked: list[str] = []
        farm = SimulatedFarm(("n1",))
        farm.nodes["n1"].override = lambda request: self._answer(request, css.encode("utf-8", "replace"))
        site = SiteSettings("main", ORIGIN)
        client = Client(IdentityCodingAgent(farm.hosts), farm.clock, 20)
        fetcher = SiteFetcher(
            site=site, secret=SECRET, balancer=client, direct=client, nonce=lambda: "nonce", now=farm.now
        )
        body = markup.encode("utf-8", "replace")
        page = FetchedCopy("n1", page_url, "GET", 200, "text/html", farm.now(), "own", digest_of(body), body)
        done: list[tuple[Asset, ...]] = []
        Deferred.fromCoroutine(Requisites(fetcher, farm.now).gather(page, FetchPath())).addCallback(done.append)
        (self.assets,) = done
        date = to_rfc3339(page.captured_at)
        records = [page_record(page)]
        for asset in self.assets:
            records += [asset_record(asset, date), revisit_record(asset, date, asset.url, date)]
        self.warc = b"".join([info_record("x.warc.gz", "lbcompanion"), *records, page_record(page)])
        self.records = []
        for record in ArchiveIterator(BytesIO(self.warc), check_digests="raise"):
            record.content_stream().read()
            self.records.append(record)

    def _answer(self, request: Request, css: bytes) -> bytes:
        self.asked.append(request.uri.decode("latin-1"))
        request.setHeader(b"content-type", b"text/css")
        return css

    def addresses(self, kind: str = "response") -> list[str]:
        """Of the records of files: the first and the last are the page's."""
        found = [each.rec_headers.get_header("WARC-Target-URI") for each in self.records if each.rec_type == kind]
        return found[1:-1] if kind == "response" else found


FORGED = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 9\r\n\r\nCONFESSED"
FIELDS = "Content-Type: application/http; msgtype=response\r\nWARC-Target-URI: https://www.bank.example/"


@pytest.mark.parametrize("base", ["", '<base href="https://x/">', '<base href="http://www.example.com/\r\nX: y/">'])
@pytest.mark.parametrize(
    "more", [f"\r\n{FIELDS}\r\nContent-Length: {len(FORGED)}\r\n\r\n{FORGED}", "\n\n\x1b\x85\u2028"]
)
@pytest.mark.parametrize("page_url", ["http://www.example.com/p", "https://www.example.com/p"])
def test_no_page_writes_into_the_heads_of_records(base: str, more: str, page_url: str) -> None:
    raw = f"http://www.example.com/img{more}"
    text = html.escape(raw).replace("\r", "&#13;").replace("\n", "&#10;")
    found = Gathered(
        f'{base}<img src="{text}"><link rel=stylesheet href="/a.css">', f"x{{background:url('{raw}')}}", page_url
    )
    assert found.asked
    assert [each.partition("example.com")[2] for each in found.addresses()] == found.asked
    assert found.addresses("revisit") == found.addresses()
    assert all(each.startswith(("http://www.example.com/", "https://www.example.com/")) for each in found.addresses())
    heads = [str(each.rec_headers) + str(each.http_headers or "") for each in found.records]
    assert not any("\nX: " in head or "\nWARC-Target-URI: https://www.bank.example" in head for head in heads)


PIECES = st.sampled_from([
    *("http://www.example.com", "https://www.example.com", "//", "\\", "/", "..", "%2e", "?", "#", ";", "@", ":", "|"),
    *("[", "]", "\r\n", "&#13;&#10;", "&#9;", " ", "\x00", "\x1b", "\x85", "\u2028", "\ufeff", "\u00fc", "%", "'", '"'),
    *("x", "WARC/1.1", "X: y"),
])  # fmt: skip
LINK = st.lists(PIECES, max_size=8).map("".join)


@pytest.mark.slow
@given(LINK, st.lists(LINK, max_size=4), st.lists(LINK, max_size=3), st.sampled_from(["http", "https"]))
@settings(max_examples=60)
def test_whatever_the_markup_the_file_is_read_whole_and_names_what_was_requested(
    base: str, images: list[str], sheets: list[str], scheme: str
) -> None:
    tags = [f'<base href="{base}"><link rel=stylesheet href="/a.css">', *(f'<img src="{image}">' for image in images)]
    css = "".join(f'@import "{sheet}"; x{{background:url({sheet})}}' for sheet in sheets)
    found = Gathered("".join(tags), css, f"{scheme}://www.example.com/p")
    assert len(found.records) == 3 + 2 * len(found.assets)
    assert [each.partition("example.com")[2] for each in found.addresses()] == found.asked
    for record in found.records:
        for name, value in record.rec_headers.headers:
            assert value.isascii(), name
            assert value.isprintable(), name
            assert name.startswith(("WARC-", "Lbc-", "Content-")), name
