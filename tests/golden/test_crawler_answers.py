"""The crawler's answers, requests and records, byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.golden import drive
from tests.golden.drive import Crawling
from tests.golden.golden import Golden, head_without_length, metrics, shown, without_moments

#: WARC lines that are made of chance, or of the time at which the writer ran.
_CHANCE = re.compile(rb"(?m)^(WARC-Record-ID|WARC-Concurrent-To|WARC-Warcinfo-ID): <urn:uuid:[0-9a-f-]{36}>\r$")
_INFO_DATE = re.compile(rb"(?m)\A(WARC/1\.1\r\n(?:[^\r]+\r\n)*?WARC-Date: )[0-9TZ:.-]+\r$")
#: Of warcinfo, whose text holds the product's version.
_OF_VERSION = re.compile(rb"(?m)^(WARC-Block-Digest|Content-Length): .*\r$")
#: Attributes of HTML that people read.
_SAID = re.compile(r'\b(aria-label|placeholder|title|alt)="[^"]*"')
#: Where a record stands in its file.
_AT = re.compile(r"(\.warc\.gz at )[0-9]+")
_TEXT = re.compile(r">[^<]+<")


@pytest.fixture(name="farm")
def _farm(tmp_path: Path) -> Iterator[Crawling]:
    with drive.crawling(tmp_path) as made:
        yield made


def archived(farm: Crawling) -> list[str]:
    """Three pages with two files, of which one is the same for both, and one that is lost; their tokens."""
    farm.asset("/a.css", "text/css", b"body { margin: 0 }")
    farm.asset("/b.png", "image/png", b"\x89PNG")
    page = b"<!doctype html><link rel=stylesheet href=/a.css><p>caf\xc3\xa9 <script>1</script>"
    tokens = [farm.capture("n2", page + b"<img src=b.png>", "/one?q=1"), farm.capture("n1", page, "/two")]
    tokens.append(farm.capture("n3", b"<p>done", "/form", method="POST"))
    lost = farm.capture("n1", b"x", "/lost")
    farm.lose("n1", lost, "expired")
    for token, cookies in zip([*tokens, lost], ({"SRV": "n2"}, {"SRV": "n1"}, {}, {}), strict=True):
        farm.take(token, cookies)
        farm.run(5)
    return [*tokens, lost]


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.0\r\n\r\n".encode()


@pytest.mark.slow
def test_json(farm: Crawling) -> None:
    tokens = archived(farm)
    with Golden("crawler_api") as golden:
        for path in (
            *(
                "/healthz",
                "/api/recordings",
                "/api/recordings?limit=2",
                "/api/recordings?limit=2&after=00000000000000000000000000000001",
            ),
            *(
                "/api/recordings?limit=1&before=00000000000000000000000000000001",
                "/api/recordings?url=*example.com/*",
                "/api/recordings?after=3",
            ),
            *("/api/recordings?outcome=lost", "/api/recordings?node=n2", "/api/recordings?outcome=open"),
            *(f"/api/recordings/{token}" for token in tokens),
            *(f"/api/recordings/{tokens[0]}/page", "/api/routes", "/api/stats", "/nothing"),
            *("/api/recordings/none", "/api/recordings/none/page", f"/api/recordings/{tokens[3]}/page"),
            *("/api/recordings?limit=x", "/api/recordings?outcome=maybe"),
        ):
            golden.message(path, farm.admin(get(path)))
        golden.message("POST", farm.admin(get("/api/stats", "POST")))
        golden.message("HEAD", farm.admin(get("/api/routes", "HEAD")))
        golden.message("GET by HTTP/1.1", farm.admin(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        golden.message("another name", farm.admin(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"))


@pytest.mark.slow
def test_metrics(farm: Crawling) -> None:
    archived(farm)
    with Golden("crawler_metrics") as golden:
        metrics(golden, farm.admin(get("/metrics")))


@pytest.mark.slow
def test_what_it_asks_of_nodes(farm: Crawling) -> None:
    archived(farm)
    with Golden("crawler_asks") as golden:
        for number, asked in enumerate(farm.asked):
            golden.values(str(number), drive.without_version(asked))


@pytest.mark.slow
def test_archive(farm: Crawling) -> None:
    archived(farm)
    with Golden("crawler_warc") as golden:
        for name, written in farm.records():
            dated = _INFO_DATE.sub(rb"\1{now}" + b"\r", written)
            sized = _OF_VERSION.sub(rb"\1: {of version}" + b"\r", dated, count=2)
            data = _CHANCE.sub(rb"\1: {uuid}" + b"\r", sized)
            golden.values(name, drive.without_version(shown(data)))


@pytest.mark.slow
def test_archive_of_original_heads(farm: Crawling) -> None:
    """Pages with the heads of their responses: as they are, with another body, and of a POST."""
    plain = (
        b"HTTP/1.1 200 Fine\r\nserver: x\r\nContent-Type: text/html\r\nX-A: 1\r\nContent-Length: 6\r\nx-a: \xfc\r\n\r\n"
    )
    coded = b"HTTP/1.0 404\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: 812\r\n\r\n"
    tokens = [
        farm.capture("n1", b"<p>one", "/one", head=plain + b"Set-Cookie\r\nConnection\r\n"),
        farm.capture("n1", b"<p>two", "/two", status=404, head=coded + b"set-cookie\r\nSet-Cookie\r\n"),
        farm.capture("n1", b"<p>three", "/three", method="POST", head=b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"),
    ]
    for token in tokens:
        farm.take(token, {"SRV": "n1"})
        farm.run(5)
    with Golden("crawler_warc_heads") as golden:
        for name, written in farm.records():
            dated = _INFO_DATE.sub(rb"\1{now}" + b"\r", written)
            sized = _OF_VERSION.sub(rb"\1: {of version}" + b"\r", dated, count=2)
            golden.values(name, drive.without_version(shown(_CHANCE.sub(rb"\1: {uuid}" + b"\r", sized))))


def test_intake(farm: Crawling) -> None:
    token = farm.capture("n1", b"x", "/a")
    notice = {
        "token": token,
        "url": "http://www.example.com/a",
        "cookies": {"SRV": "n1"},
        "viewed_at": "2026-11-23T21:20:00Z",
        "noticed_at": "2026-11-23T21:20:00Z",
        "page_url": "",
        "by": "browser",
    }
    body = json.dumps({"notices": [notice]}).encode()
    with Golden("crawler_intake") as golden:
        signed = farm.signed_notices(body)
        golden.message("202", farm.intake(signed))
        for title, wrong in (
            ("no JSON", b"{"),
            ("a token", body.replace(token.encode(), b"x" * 40)),
            ("no list", b'{"notices": {}}'),
        ):
            golden.message(f"400: {title}", farm.intake(farm.signed_notices(wrong)))
        golden.message("401", farm.intake(signed.replace(b"n1", b"n2")))
        golden.message("401: unsigned", farm.intake(b"POST /notices HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"))
        golden.message("405", farm.intake(b"GET /notices HTTP/1.0\r\n\r\n"))
        golden.message("413", farm.intake(farm.signed_notices(b" " * (drive.MOST_NOTICES_BYTES + 1))))
        nothing = without_moments(farm.intake(b"GET /nothing HTTP/1.0\r\n\r\n"))
        golden.values("404", shown(head_without_length(nothing)))
