"""The tokens of a page, as HTML's tokenizer reads them; each with its bytes as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator

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

#: Elements in which no tag is read; without scripts, what is in ``<noscript>`` is markup.
RAW_TEXT_ELEMENTS = frozenset(name for name in RAW_TEXT if name != b"noscript")
#: Elements in which CDATA sections are read, and in which ``/>`` closes an element.
FOREIGN = frozenset({b"svg", b"math"})

_TOKEN = re.compile(
    rb"(?P<start>" + START_TAG + rb")|(?P<end>" + END_TAG + rb")|(?P<cdata><!\[CDATA\[)|(?P<comment>" + COMMENT
    + rb")|(?P<bogus>" + BOGUS_COMMENT + rb"|" + EMPTY_END_TAG + rb")|(?P<text>" + TEXT + rb")"
)  # fmt: skip
_RAW_TEXT_ENDS = raw_text_ends(*RAW_TEXT_ELEMENTS)
#: In a script, ``<!--`` and ``<script`` together hide an end tag (HTML Standard section 13.2.5.17 and on).
_SCRIPT_TOKEN = re.compile(
    rb"(?P<open><!--)|(?P<close>-->)|(?P<start><script(?=[\t\n\f\r />]))|(?P<end></script(?=[\t\n\f\r />]))",
    re.IGNORECASE,
)


class PageTokens:
    """Reads one page.

    :param page: in UTF-8.
    :param plain: text and tags that are of no interest one by one. What it matches is one token.
    :ivar foreign: how many ``<svg>`` and ``<math>`` are open where a token was read.
    """

    def __init__(self, page: bytes, plain: re.Pattern[bytes], *, is_xml: bool) -> None:
        self.foreign = 0
        self._page = page
        self._plain = plain
        self._is_xml = is_xml

    def read(self) -> Iterator[tuple[str, bytes, int]]:
        """The tokens with their kinds, and how many start tags came before each.

        A token ``raw`` has the name of an element, NUL and its text. Where nothing matches, the rest is a tag or a
        comment without an end, which browsers drop.
        """
        page, position, tags = self._page, 0, 0
        self.foreign = 0
        while position < len(page):
            if plain := self._plain.match(page, position):
                yield "plain", plain[0], tags
                position = plain.end()
                tags += 1
            if (token := _TOKEN.match(page, position)) is None:
                return
            position, kind = token.end(), token.lastgroup or ""
            if kind == "cdata":
                end = b"]]>" if self._is_xml or self.foreign else b">"
                at = page.find(end, position)
                # Elsewhere than in SVG, MathML and XML it is a comment.
                if len(end) > 1:
                    yield kind, page[position : at if at >= 0 else len(page)], tags
                position = len(page) if at < 0 else at + len(end)
                continue
            yield kind, token[0], tags
            if kind == "end" and tag_name(token[0]) in FOREIGN:
                self.foreign = max(0, self.foreign - 1)
            if kind == "start":
                tags += 1
                name = tag_name(token[0])
                is_closed = token[0].endswith(b"/>") and (self._is_xml or self.foreign > 0)
                if name in FOREIGN and not token[0].endswith(b"/>"):
                    self.foreign += 1
                if name == b"plaintext":
                    yield "plaintext", page[position:], tags
                    return
                if not is_closed and name in RAW_TEXT_ELEMENTS:
                    start, position = position, self._raw_text_end(name, position)
                    yield "raw", name + b"\0" + page[start:position], tags

    def _raw_text_end(self, name: bytes, position: int) -> int:
        if name != b"script":
            found = _RAW_TEXT_ENDS[name].search(self._page, position)
            return found.start() if found else len(self._page)
        depth = 0
        while token := _SCRIPT_TOKEN.search(self._page, position):
            kind, position = token.lastgroup, token.end()
            if kind == "open":
                depth, position = max(depth, 1), position - 2  # its dashes may be those of the end
            elif kind == "close":
                depth = 0
            elif kind == "start":
                depth = 2 if depth else 0
            elif depth < 2:
                return token.start()
            else:
                depth = 1
        return len(self._page)
