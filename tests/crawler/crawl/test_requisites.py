from __future__ import annotations

import html
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import deferLater
from twisted.web.server import Request
from warcio.archiveiterator import ArchiveIterator

from lbcompanion.crawler.archive.warc_records import (
    info_record,
    page_record,
    requisite_record,
    revisit_record,
)
from lbcompanion.crawler.crawl.requisite_source import RequisiteSource
from lbcompanion.crawler.crawl.requisites import Gathered, Parse, Requisites
from lbcompanion.crawler.fetching.fetcher import FetchedCopy, FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import Client, IdentityCodingAgent
from lbcompanion.model import to_rfc3339
from lbcompanion.protocol.tokens import digest_of
from lbcompanion.settings import RequisitesTable, SiteSettings
from lbcompanion.sticky.reader import CookieReader
from tests.support.simulated_farm import ORIGIN, SECRET, SimulatedFarm

LIMITS = RequisitesTable()


def page_files(farm: SimulatedFarm, limits: RequisitesTable = LIMITS, parse: Parse = execute) -> Requisites:
    source = RequisiteSource(farm.now, lambda seconds: deferLater(farm.clock, seconds), limits)
    return Requisites(source, farm.now, limits, parse)


class GatheredPage:
    """A page's files, requested from a server in memory and written into a WARC file."""

    def __init__(
        self,
        markup: str,
        css: str = "",
        page_url: str = "http://www.example.com/dir/page",
        parse: Parse = execute,
        limits: RequisitesTable = LIMITS,
        script_files: tuple[str, ...] = (),
    ) -> None:
        self.asked: list[str] = []
        farm = SimulatedFarm(("n1",))
        farm.nodes["n1"].override = lambda request: self._answer(request, css.encode("utf-8", "replace"))
        origins = ("https:" + ORIGIN.removeprefix("http:"),)
        site = SiteSettings("main", ORIGIN, origins=origins, script_files=script_files)
        client = Client(IdentityCodingAgent(farm.hosts), farm.clock, 20)
        fetcher = SiteFetcher(
            site=site, secret=SECRET, balancer=client, direct=client, nonce=lambda: "nonce", now=farm.now
        )
        body = markup.encode("utf-8", "replace")
        page = FetchedCopy("n1", page_url, "GET", 200, "text/html", farm.now(), "own", digest_of(body), body)
        done: list[Gathered] = []
        requisites = page_files(farm, limits, parse)
        Deferred.fromCoroutine(requisites.gather(fetcher, CookieReader(site.sticky), page, FetchPath())).addCallback(
            done.append
        )
        (gathered,) = done
        self.requisites, self.report = gathered.files, gathered.report
        date = to_rfc3339(page.captured_at)
        records = [page_record(page)]
        for each in self.requisites:
            records += [requisite_record(each, date), revisit_record(each, date, each.url, date)]
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
        """The records of the files: without the first and the last, which are the page's."""
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
    found = GatheredPage(
        f'{base}<img src="{text}"><link rel=stylesheet href="/a.css">', f"x{{background:url('{raw}')}}", page_url
    )
    assert found.asked
    assert [each.partition("example.com")[2] for each in found.addresses()] == found.asked
    assert found.addresses("revisit") == found.addresses()
    assert all(each.startswith(("http://www.example.com/", "https://www.example.com/")) for each in found.addresses())
    heads = [str(each.rec_headers) + str(each.http_headers or "") for each in found.records]
    assert not any("\nX: " in head or "\nWARC-Target-URI: https://www.bank.example" in head for head in heads)


@pytest.mark.parametrize(
    ("markup", "asked"),
    [
        ("<SCRIPT src=/a.js></script>", ["/a.js", "/icons/b.png?v=1"]),
        ("<svg><script/></svg><img src=/icons/b.png?v=1>", ["/icons/b.png?v=1"]),
        ("<img src=/a.png><p>&lt;script", ["/a.png"]),
    ],
)
def test_files_that_only_scripts_name_are_requested_last(markup: str, asked: list[str]) -> None:
    found = GatheredPage(markup, script_files=("/icons/b.png?v=1", "/_lbc/x"))
    assert found.asked == asked
    assert [each.url for each in found.report.missing] == ["http://www.example.com/_lbc/x"] * (
        len(asked) == 2 or "svg" in markup
    )
    limited = GatheredPage(markup, limits=RequisitesTable(max_files=1), script_files=("/icons/b.png?v=1",))
    assert limited.asked == asked[:1]


@pytest.mark.slow
def test_limits_are_named() -> None:
    found = GatheredPage("".join(f"<img src=/{number}.png>" for number in range(302)))
    assert len(found.requisites) == 300
    assert [(each.url[-8:], each.reason) for each in found.report.missing] == [
        ("/300.png", "more than 300 files"),
        ("/301.png", "more than 300 files"),
    ]


@pytest.mark.parametrize(
    ("limits", "count", "reason"),
    [
        (RequisitesTable(max_files=3), 3, "more than 3 files"),
        (RequisitesTable(max_bytes=400), 4, "more than 400 bytes in all"),
        (RequisitesTable(max_file_bytes=99), 0, "too large"),
    ],
)
def test_limits_are_settings(limits: RequisitesTable, count: int, reason: str) -> None:
    markup = "".join(f"<img src=/{number}.png>" for number in range(9))
    found = GatheredPage(markup, "x" * 100, limits=limits)
    assert len(found.requisites) == count
    assert {each.reason for each in found.report.missing} == {reason}
    assert found.report.wanted == 9


def test_pages_and_style_sheets_are_read_elsewhere() -> None:
    calls: list[str] = []

    def parse(call: Callable[..., Any], *args: Any) -> Deferred[Any]:
        calls.append(call.__name__)
        return execute(call, *args)

    GatheredPage("<link rel=stylesheet href=/a.css>", "x{}", parse=parse)
    assert calls == ["page_links", "style_sheet_links"]


PIECES = st.sampled_from([
    *("http://www.example.com", "https://www.example.com", "//", "\\", "/", "..", "%2e", "?", "#", ";", "@", ":", "|"),
    *("[", "]", "\r\n", "&#13;&#10;", "&#9;", " ", "\x00", "\x1b", "\x85", "\u2028", "\ufeff", "\u00fc", "%", "'", '"'),
    *("x", "WARC/1.1", "X: y"),
])  # fmt: skip
LINK = st.lists(PIECES, max_size=8).map("".join)


ID = "74435D7521AB2DB84438C822714F5759"


@pytest.mark.parametrize(
    ("link", "asked"),
    [
        (f"/a.css;jsessionid={ID}.n2", "/a.css"),
        (f"/a.css;v=1;jsessionid={ID}?x=1", "/a.css;v=1?x=1"),
        (f"/a.css?PHPSESSID={ID}&amp;x=1", "/a.css?x=1"),
        (f"/(S({ID}))/a.css", "/a.css"),
    ],
)
def test_a_file_is_requested_without_the_visitors_session_and_recorded_as_the_page_names_it(
    link: str, asked: str
) -> None:
    found = GatheredPage(f'<link rel=stylesheet href="{link}">')
    assert found.asked == [asked]
    assert found.addresses()[:1] == [f"http://www.example.com{html.unescape(link)}"]


def test_without_the_session_an_address_is_not_below_the_companions_prefix() -> None:
    found = GatheredPage(f'<img src="/(S({ID}))/_lbc/page/x">')
    assert found.asked == []
    assert [each.reason for each in found.report.missing] == ["below the companion's prefix"]


@pytest.mark.slow
@given(LINK, st.lists(LINK, max_size=4), st.lists(LINK, max_size=3), st.sampled_from(["http", "https"]))
@settings(max_examples=60)
def test_whatever_the_markup_the_file_is_read_whole_and_names_what_was_requested(
    base: str, images: list[str], sheets: list[str], scheme: str
) -> None:
    tags = [f'<base href="{base}"><link rel=stylesheet href="/a.css">', *(f'<img src="{image}">' for image in images)]
    css = "".join(f'@import "{sheet}"; x{{background:url({sheet})}}' for sheet in sheets)
    found = GatheredPage("".join(tags), css, f"{scheme}://www.example.com/p")
    assert len(found.records) == 3 + 2 * len(found.requisites)
    assert [each.partition("example.com")[2] for each in found.addresses()] == found.asked
    for record in found.records:
        for name, value in record.rec_headers.headers:
            assert value.isascii(), name
            assert value.isprintable(), name
            assert name.startswith(("WARC-", "Lbc-", "Content-")), name


@pytest.mark.parametrize(
    ("status", "fields"), [(429, {}), (429, {b"retry-after": b"100"}), (503, {b"retry-after": b"9"})]
)
def test_a_refused_file_ends_the_requests_for_its_page_and_does_not_pause_the_site(
    status: int, fields: dict[bytes, bytes]
) -> None:
    """An author of a page can name a URL that the application always answers with 429."""
    farm, asked = SimulatedFarm(("n1",)), []

    def answer(request: Request) -> bytes:
        asked.append(request.uri)
        if request.uri == b"/limited":
            request.setResponseCode(status)
            for name, value in fields.items():
                request.setHeader(name, value)
        request.setHeader(b"content-type", b"image/png")
        return b"x"

    farm.nodes["n1"].override = answer
    client = Client(IdentityCodingAgent(farm.hosts), farm.clock, 20)
    site = SiteSettings("main", ORIGIN)
    fetcher = SiteFetcher(site=site, secret=SECRET, balancer=client, direct=client, nonce=lambda: "n", now=farm.now)
    body = b"<img src=/limited>" + b"".join(b"<img src=/%d>" % number for number in range(40))
    page = FetchedCopy("n1", f"{ORIGIN}/p", "GET", 200, "text/html", farm.now(), "own", digest_of(body), body)
    done: list[Gathered] = []
    gathering = page_files(farm).gather(fetcher, CookieReader(site.sticky), page, FetchPath())
    Deferred.fromCoroutine(gathering).addCallback(done.append)
    reasons = {each.url: each.reason for each in done[0].report.missing}
    assert len(asked) <= 4
    assert reasons[f"{ORIGIN}/limited"] == f"status {status}"
    assert reasons[f"{ORIGIN}/39"] == f"not requested after status {status}"
    assert fetcher.site_pause.seconds_left() == 0
