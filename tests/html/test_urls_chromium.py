"""URLs as a real browser reads them.

Chromium differs from the URL Standard in three points, which are left out here: it encodes ``|`` in a path, keeps odd
characters of a host percent-encoded, and accepts labels that are not valid Punycode.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from lbcompanion.html.urls import MAX_URL_CHARS, resolve_url
from tests.support.browser import Site

pytestmark = pytest.mark.browser

PIECES = (
    *(
        "http:",
        "https:",
        "HTTP://",
        "//",
        "/",
        "\\",
        "..",
        ".",
        "%2e",
        "%2E%2e",
        "?",
        "#",
        "@",
        ":",
        ":80",
        ":443",
        ":0",
    ),
    *("www.example.com", "b\u00fccher.example", "\uff45x.example", "127.1", "0x7f.1", "[::1]", "a", "x.png", ";"),
    *(
        " ",
        "\t",
        "\n",
        "\r",
        "\x00",
        "\x1f",
        "\x7f",
        "\x85",
        "\u2028",
        "\ufeff",
        "\u00fc",
        "\U0001f600",
        "%",
        "%zz",
        "%41",
    ),
    *("^", "`", "{", "}", "[", "]", "<", ">", '"', "'", "&", "=", "+", "~", "!", "$", "(", ")", "*", ",", "user:p"),
)
BASES = ("http://www.example.com/dir/page?q=1", "https://h.example:8443/", "http://[::1]/a/b/")
READ = """pairs => pairs.map(([text, base]) => {
    try { const url = new URL(text, base); url.hash = ""; return [url.href, url.username + url.password]; }
    catch (error) { return null; }
})"""


def test_chromium_reads_them_alike(site: Site, page: Any) -> None:
    page.goto(site.add("/", head=""))
    rng = random.Random(20261126)
    pairs = [("".join(rng.choice(PIECES) for _ in range(rng.randint(0, 6))), rng.choice(BASES)) for _ in range(6000)]
    wrong = []
    for (text, base), seen in zip(pairs, page.evaluate(READ, pairs), strict=True):
        usable = seen is not None and seen[0].startswith(("http://", "https://")) and not seen[1]
        expected = seen[0] if usable and len(seen[0]) <= MAX_URL_CHARS else ""
        odd_host = "%" in expected.split("/")[2] if expected else False
        if not odd_host and resolve_url(base, text) != expected:
            wrong.append((text, base, expected, resolve_url(base, text)))
    assert wrong[:5] == []
