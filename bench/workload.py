"""What is asked for and answered: one page of 10 KB, by a browser with cookies. The same bytes for every peer."""

from __future__ import annotations

import re
import zlib

PAGE_BYTES = 10240
HOST = "www.example.com"

#: What both capturing peers insert; the group is the token.
TAG = re.compile(
    rb'<script async src="/_lbc/fetch-from\.js\?v=[A-Za-z0-9_-]+" data-lbc-token="([A-Za-z0-9_-]{16,63})"'
    rb' data-lbc-fetch-from="http://www\.example\.com/_lbc/page/\1"></script>'
)

#: How visitors accept a body: the two cases that are measured.
CODINGS = ("identity", "gzip")

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


def _page() -> bytes:
    page = _TOP
    number = 1000
    while True:
        seed = number * 7919
        item = _ITEM % (number, number, seed % 9973, number, number, 90 + seed % 60, 1 + seed % 5, 10 + seed % 80)
        filling = PAGE_BYTES - len(page) - len(item) - len(_BOTTOM % b"")
        if filling < 0:
            return page + _BOTTOM % (b"." * (PAGE_BYTES - len(page) - len(_BOTTOM % b"")))
        page += item
        number += 1


PAGE = _page()


def answer(coding: str) -> bytes:
    """The application's whole answer.

    :param coding: ``gzip``: the page is coded, as by an application that keeps its pages coded.
    """
    body, more = PAGE, b""
    if coding == "gzip":
        coder = zlib.compressobj(6, zlib.DEFLATED, 31)
        body = coder.compress(PAGE) + coder.flush()
        more = b"Content-Encoding: gzip\r\n"
    return (
        b"HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Mon, 03 Mar 2025 10:00:00 GMT\r\n"
        b"Content-Type: text/html; charset=utf-8\r\nContent-Length: %d\r\n%bVary: Accept-Encoding, Cookie\r\n"
        b"Cache-Control: private, max-age=0\r\nSet-Cookie: seen=1; Path=/; HttpOnly\r\n\r\n%b"
    ) % (len(body), more, body)


def request(coding: str, number: int = 1) -> bytes:
    """What a visitor's browser sends.

    :param number: of the visitor and page: no two heads are alike on a real site, so remembering one must not pay here.
    """
    return (
        f"GET /tools?page={number}&sort=price HTTP/1.1\r\nHost: {HOST}\r\nConnection: keep-alive\r\n"
        'sec-ch-ua: "Chromium";v="130", "Not?A_Brand";v="99"\r\nsec-ch-ua-mobile: ?0\r\n'
        'sec-ch-ua-platform: "Linux"\r\nUpgrade-Insecure-Requests: 1\r\n'
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/130.0.0.0 Safari/537.36\r\n"
        "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-User: ?1\r\nSec-Fetch-Dest: document\r\n"
        f"Referer: http://{HOST}/tools?page=2&sort=price\r\nAccept-Encoding: {coding}\r\n"
        "Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
        f"Cookie: SRV=n1; sessionid=3v9k2m5x8q1z7w4c{number:04d}; csrftoken=Zk3Pq8Lw2Rt6Yv1Xs9Mc; "
        "theme=light; consent=all\r\n"
        "\r\n"
    ).encode()
