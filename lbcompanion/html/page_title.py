"""Finds the title of a page: the text of its first ``<title>`` outside of SVG and MathML."""

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
    RAW_TEXT,
    START_TAG,
    TEXT,
    raw_text_ends,
    tag_name,
)

#: Only this much of a page is searched. Each byte is read a fixed number of times.
MAX_SEARCHED_BYTES = 256 * 1024
#: A title is cut after this many characters.
MAX_TITLE_CHARS = 300
#: Most tokens that are read before the title.
_MAX_TOKENS = 5000

_TOKEN = re.compile(
    rb"(?P<start>" + START_TAG + rb")|(?P<end>" + END_TAG + rb")|" + COMMENT
    + rb"|" + BOGUS_COMMENT + rb"|" + EMPTY_END_TAG + rb"|" + TEXT
)  # fmt: skip
_RAW_TEXT_ENDS = raw_text_ends(*RAW_TEXT)
_FOREIGN = frozenset({b"svg", b"math"})
#: No database stores these as they are, and no title shows them.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufeff]")


def page_title(body: bytes, content_type: str) -> str:
    """Return a page's title with its white space collapsed; empty if it has none.

    :param content_type: the value of the page's ``Content-Type``.
    """
    body = body[:MAX_SEARCHED_BYTES]
    media_type = content_type.partition(";")[0].strip().lower()
    text = decode(body, page_encoding(body, content_type))
    raw = _first_title(text.encode("utf-8", "replace"), is_xml=media_type.endswith(("+xml", "/xml")))
    # A longer title is cut before its references are resolved, too: a megabyte of them is of no use.
    shown = unescape(raw.decode("utf-8", "replace")[: 16 * MAX_TITLE_CHARS])
    return " ".join(_CONTROLS.sub("", shown).split())[:MAX_TITLE_CHARS].rstrip()


def _first_title(page: bytes, *, is_xml: bool) -> bytes:
    """Return the content of the first title element, as it is written."""
    position, foreign = 0, 0
    for _ in range(_MAX_TOKENS):
        token = _TOKEN.match(page, position)
        if token is None:
            return b""
        position = token.end()
        name = tag_name(token["start"] or token["end"] or b"")
        if name in _FOREIGN:
            closes = token["end"] is not None
            foreign = max(0, foreign - 1) if closes else foreign + (not token["start"].endswith(b"/>"))
        elif token["start"] and not foreign and name in _RAW_TEXT_ENDS:
            if is_xml and token["start"].endswith(b"/>"):
                continue
            end = _RAW_TEXT_ENDS[name].search(page, position)
            if name == b"title":
                return page[position : end.start() if end else len(page)]
            if end is None:
                return b""
            position = end.start()
    return b""
