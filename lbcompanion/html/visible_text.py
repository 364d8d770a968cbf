"""The text of a page as lines, without its markup, its scripts and its style sheets."""

from __future__ import annotations

import re
from html import unescape

from lbcompanion.html.requisite_links import page_encoding
from lbcompanion.html.text_codecs import decode
from lbcompanion.html.tokenizer_patterns import (
    BOGUS_COMMENT,
    COMMENT,
    EMPTY_END_TAG,
    END_TAG,
    START_TAG,
    TEXT,
    raw_text_ends,
    tag_name,
)

#: Only this much of a page is read.
MAX_READ_BYTES = 2 * 1024 * 1024

_TOKEN = re.compile(
    rb"(?P<tag>" + START_TAG + rb"|" + END_TAG + rb")|(?P<other>" + COMMENT + rb"|" + BOGUS_COMMENT + rb"|"
    + EMPTY_END_TAG + rb")|(?P<text>" + TEXT + rb")"
)  # fmt: skip
#: Elements whose content is not shown.
_HIDDEN = raw_text_ends(b"script", b"style", b"template", b"iframe", b"noembed", b"noframes", b"noscript")
#: Elements within a line.
_INLINE = frozenset(
    b"a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd label mark nobr q rp rt ruby s samp "
    b"small span strike strong sub sup time tt u var wbr".split()
)


def page_text(body: bytes, content_type: str) -> str:
    """Decode a page, at most :data:`MAX_READ_BYTES` of it.

    :param content_type: the value of its ``Content-Type``.
    """
    body = body[:MAX_READ_BYTES]
    return decode(body, page_encoding(body, content_type))


def visible_lines(text: str) -> list[str]:
    """Return the lines that a page shows, with white space collapsed and without empty ones.

    Each byte is read a fixed number of times. What style sheets and scripts hide or add is not known here.
    """
    page = text.encode("utf-8", "replace")
    parts: list[str] = []
    position = 0
    while token := _TOKEN.match(page, position):
        position = token.end()
        if token["text"]:
            # A line of the source is not a line of the page.
            parts.append(unescape(token["text"].decode("utf-8", "replace")).replace("\n", " ").replace("\r", " "))
        elif token["tag"]:
            name = tag_name(token["tag"])
            if name in _HIDDEN and not token["tag"].startswith(b"</"):
                end = _HIDDEN[name].search(page, position)
                position = end.start() if end else len(page)
            if name not in _INLINE:
                parts.append("\n")
    lines = (" ".join(line.split()) for line in "".join(parts).split("\n"))
    return [line for line in lines if line]
