"""The requests and responses of the benchmark: pages, assets and streams. All peers get the same bytes."""

from __future__ import annotations

import random
import re
import zlib
from functools import cache

from attrs import frozen

HOST = "www.example.com"
MEGABYTE = 1 << 20

#: What all capturing peers insert; the groups are the token and the scheme of the address.
TAG = re.compile(
    rb'<script async src="[^"]*/_lbc/fetch-from(?:\.js)?\?v=[A-Za-z0-9_-]+" data-lbc-token="([A-Za-z0-9_-]{16,63})"'
    rb' data-lbc-fetch-from="(https?)://www\.example\.com/_lbc/page/\1"[^>]*></script>'
)

#: Under this path no peer captures: the companion by its ``exclude``, the others by a rule of the same meaning.
NOT_CAPTURED = "/account/"

_TOP = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Garden tools - Example shop</title>
<link rel="stylesheet" href="/static/shop.4f1a9c.css">
<link rel="icon" href="/favicon.ico">
<script defer src="/static/shop.77be02.js"></script>
</head>
<body class="list">
<header><a href="/">Example shop</a>
<form action="/search" method="get"><input type="search" name="q" placeholder="What are you looking for?"></form>
</header>
<main>
"""
_ITEM = b"""<article id="p%d"><a href="/tools/%d"><img src="/img/%d.webp" width="320" height="240" alt=""></a>
<h2><a href="/tools/%d">Spade no. %d, ash handle</a></h2>
<p>Forged in one piece, %d cm long. <em>Delivered in %d days.</em></p><p class="price">&euro; %d.95</p></article>
"""
_BOTTOM = b"</main>\n<footer><p>%b</p></footer>\n</body>\n</html>\n"


@cache
def page(size: int) -> bytes:
    """Return an HTML page of this number of bytes."""
    made = _TOP
    number = 1000
    while True:
        seed = number * 7919
        item = _ITEM % (number, number, seed % 9973, number, number, 90 + seed % 60, 1 + seed % 5, 10 + seed % 80)
        filling = size - len(made) - len(item) - len(_BOTTOM % b"")
        if filling < 0:
            return made + _BOTTOM % (b"." * (size - len(made) - len(_BOTTOM % b"")))
        made += item
        number += 1


@cache
def script(size: int) -> bytes:
    """Return JavaScript of this number of bytes."""
    line = b"export function price%06d(net, rate) { return Math.round(net * (100 + rate)) / 100; }\n"
    lines = b"".join(line % number for number in range(size // 80 + 1))
    return lines[: size - 1] + b"\n"


#: A stream is this again and again; its length is a prime, so that no piece can be lost, doubled or moved unseen.
PATTERN = random.Random(4).randbytes(65521)
_REPEATED = memoryview(PATTERN * 6)
#: No more can be had of a stream at once.
MAX_PIECE = 5 * len(PATTERN)


def piece(at: int, size: int) -> memoryview:
    """A part of a stream.

    :param size: at most :data:`MAX_PIECE`.
    """
    start = at % len(PATTERN)
    return _REPEATED[start : start + size]


@frozen
class Case:
    """One kind of request with its answer.

    :ivar key: short, for command lines and JSON.
    :ivar title: as it stands in tables.
    :ivar group: ``captured``, ``uncaptured``, ``streamed``; ``tls``, ``closed``, ``workers`` for the other ways to be
        connected; ``memory`` and ``growth`` for other measurements.
    :ivar path: the request's, before its query.
    :ivar size: of the body, in bytes.
    :ivar coding: the Accept-Encoding.
    :ivar chunked: the application does not say how long the body is.
    :ivar requests: of one round, for a peer of share 1.
    :ivar connections: open at once.
    :ivar numbered: each request has a path of its own, the number at its end.
    :ivar tls: the visitors use TLS.
    :ivar kept: connections are kept; otherwise each request has a new one, and says ``Connection: close``.
    :ivar workers: of the peer.
    """

    key: str
    title: str
    group: str
    path: str
    size: int
    requests: int
    connections: int = 32
    content_type: str = "text/html; charset=utf-8"
    coding: str = "identity"
    chunked: bool = False
    numbered: bool = False
    tls: bool = False
    kept: bool = True
    workers: int = 1

    @property
    def usual(self) -> bool:
        """Whether visitors keep connections without TLS to a peer with one worker."""
        return self.kept and not self.tls and self.workers == 1

    @property
    def streamed(self) -> bool:
        """Whether the body is a stream's."""
        return self.content_type == "application/octet-stream"

    @property
    def captured(self) -> bool:
        """Whether peers that capture do so here."""
        return self.content_type.startswith("text/html") and not self.path.startswith(NOT_CAPTURED)

    @property
    def body(self) -> bytes:
        """The body, before any coding; of what is not streamed."""
        return script(self.size) if self.content_type.startswith("application/javascript") else page(self.size)


def _stream(megabytes: int, requests: int, connections: int, chunked: bool, group: str = "streamed") -> Case:
    how = "chunked" if chunked else "length"
    title = f"{megabytes} MB, {'chunked' if chunked else 'Content-Length'}"
    return Case(
        f"{megabytes}m-{how}",
        title,
        group,
        f"/stream/{megabytes}/{how}",
        megabytes * MEGABYTE,
        requests,
        connections,
        "application/octet-stream",
        chunked=chunked,
    )


_SCRIPT = "application/javascript; charset=utf-8"

CASES: dict[str, Case] = {
    case.key: case
    for case in (
        Case("page-10k", "10 KB page", "captured", "/tools", 10240, 2000),
        Case("page-100k", "100 KB page", "captured", "/catalogue", 102400, 600),
        Case("page-10k-gzip", "10 KB page, gzip", "captured", "/tools", 10240, 1000, coding="gzip"),
        Case("asset-10k", "10 KB JavaScript", "uncaptured", "/static/shop.js", 10240, 2000, content_type=_SCRIPT),
        Case("excluded-10k", "10 KB page, excluded", "uncaptured", NOT_CAPTURED + "orders", 10240, 2000),
        _stream(1, 100, 8, chunked=False),
        _stream(1, 100, 8, chunked=True),
        _stream(16, 8, 4, chunked=False),
        _stream(16, 8, 4, chunked=True),
        Case("page-10k-tls", "10 KB page", "tls", "/tls/tools", 10240, 2000, tls=True),
        Case("asset-10k-tls", "10 KB JavaScript", "tls", "/tls/shop.js", 10240, 2000, content_type=_SCRIPT, tls=True),
        Case("page-10k-tls-close", "10 KB page, a handshake each", "tls", "/new/tls", 10240, 500, tls=True, kept=False),
        Case("page-10k-close", "10 KB page", "closed", "/new/tools", 10240, 2000, kept=False),
        Case(
            "asset-10k-close",
            "10 KB JavaScript",
            "closed",
            "/new/shop.js",
            10240,
            2000,
            content_type=_SCRIPT,
            kept=False,
        ),
        Case("page-10k-workers", "10 KB page", "workers", "/two/tools", 10240, 2000, workers=2),
        Case(
            "asset-10k-workers",
            "10 KB JavaScript",
            "workers",
            "/two/shop.js",
            10240,
            2000,
            content_type=_SCRIPT,
            workers=2,
        ),
        _stream(64, 20, 20, chunked=False, group="memory"),
        Case("page-2k", "2 KB page", "growth", "/short", 2048, 2000),
        Case("page-10k-numbered", "10 KB page, a path each", "growth", "/tools/item-", 10240, 2000, numbered=True),
    )
}
#: The titles of the groups of cases whose CPU time is measured, in the order of the tables.
GROUPS = {
    "captured": "captured pages",
    "uncaptured": "not captured",
    "streamed": "streamed",
    "tls": "over TLS",
    "closed": "a new connection for each request",
    "workers": "two workers",
}
_DIGITS = "0123456789"
_BY_PATH = {(case.path, case.coding): case for case in CASES.values()}


def case_of(path: str, coding: str) -> Case | None:
    """Find the case by a request's path and accepted coding; None if there is none."""
    path = path.rstrip(_DIGITS)
    return _BY_PATH.get((path, coding)) or _BY_PATH.get((path, "identity"))


@cache
def _coded(case: Case) -> bytes:
    if case.coding != "gzip":
        return case.body
    coder = zlib.compressobj(6, zlib.DEFLATED, 31)
    return coder.compress(case.body) + coder.flush()


def answer_head(case: Case, number: int) -> bytes:
    """The head of the application's answer: no two are alike, so remembering one must not pay here.

    :param number: the request's, which comes back in a field, so that nobody gets another's answer unseen.
    """
    if case.chunked:
        length = b"Transfer-Encoding: chunked\r\n"
    else:
        length = b"Content-Length: %d\r\n" % (case.size if case.streamed else len(_coded(case)))
    return (
        b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Mon, 03 Mar 2025 10:%02d:%02d GMT\r\nContent-Type: %b\r\n%b"
        b"%bVary: Accept-Encoding, Cookie\r\nCache-Control: private, max-age=0\r\n"
        b"Set-Cookie: seen=%08x; Path=/; HttpOnly\r\nX-Request-Id: %d\r\n\r\n"
    ) % (
        number // 60 % 60,
        number % 60,
        case.content_type.encode(),
        length,
        b"Content-Encoding: gzip\r\n" if case.coding == "gzip" else b"",
        number * 2654435761 & 0xFFFFFFFF,
        number,
    )


def answer_of(case: Case, number: int) -> bytes:
    """The whole answer; of what is not streamed."""
    return answer_head(case, number) + _coded(case)


_AGENTS = (
    '"Chromium";v="130", "Not?A_Brand";v="99"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: "Linux"\r\n'
    "Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    '"Google Chrome";v="131", "Chromium";v="131"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: "Windows"\r\n'
    "Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    '"Google Chrome";v="129", "Chromium";v="129"\r\nsec-ch-ua-mobile: ?1\r\nsec-ch-ua-platform: "Android"\r\n'
    "Upgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 "
    "(KHTML, like Gecko) Chrome/129.0.0.0 Mobile Safari/537.36",
)
_FOR_A_PAGE = (
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n"
)
_FOR_THE_REST = "Accept: */*\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: script\r\n"
_LANGUAGES = ("en-GB,en;q=0.9,de;q=0.8", "de-DE,de;q=0.9,en;q=0.7", "fr-FR,fr;q=0.9", "en-US,en;q=0.9", "pl,en;q=0.5")


def request_for(case: Case, number: int) -> bytes:
    """Return a browser's request.

    :param number: of visitor and request: no two heads are alike on a real site, so remembering one must not pay here.
    """
    tracker_id = number * 2654435761 & 0xFFFFFFFF
    path = f"{case.path}{number}" if case.numbered else case.path
    return (
        f"GET {path}?page={number}&sort=price HTTP/1.1\r\nHost: {HOST}\r\n"
        f"Connection: {'keep-alive' if case.kept else 'close'}\r\n"
        f"sec-ch-ua: {_AGENTS[number % 3]}\r\n"
        f"{_FOR_A_PAGE if case.content_type.startswith('text/html') else _FOR_THE_REST}"
        f"Referer: http://{HOST}/tools?page={number % 89}&sort=price\r\nAccept-Encoding: {case.coding}\r\n"
        f"Accept-Language: {_LANGUAGES[number % 5]}\r\n"
        f"Cookie: SRV=n1; sessionid=3v9k2m5x8q1z{number:012d}; csrftoken=Zk3Pq8Lw2Rt6{tracker_id:08x}; "
        f"_ga=GA1.1.{tracker_id}.1732{number:06d}; theme=light; consent=all\r\n"
        "\r\n"
    ).encode()


# The two that bench.micro times: the 10 KB page, plain or coded.

#: The 10 KB page.
PAGE = page(10240)


def _page_case(coding: str) -> Case:
    return CASES["page-10k-gzip" if coding == "gzip" else "page-10k"]


def answer(coding: str, number: int = 1) -> bytes:
    """The application's whole answer with the 10 KB page; ``gzip``: as by an application that keeps its pages coded."""
    return answer_of(_page_case(coding), number)


def request(coding: str, number: int = 1) -> bytes:
    """A browser's request for the 10 KB page."""
    return request_for(_page_case(coding), number)
