"""Where a page's head begins: the tree rules up to the first token that is a head or implies one.

HTML Standard, sections 13.2.6.4.1 to 13.2.6.4.3 ("initial", "before html", "before head"): a byte order mark, white
space, doctypes, comments, ``<html>`` and stray end tags are passed by; the head begins after ``<head>``, or else
before the first other token.
"""

from __future__ import annotations

import re

from lbcompanion.html.markup import BOGUS_COMMENT, COMMENT, END_TAG, NOTHING, START_TAG, TAG_REST, WS, attributes
from lbcompanion.html.refusal import Refusal

#: A token before the head may be this long, in bytes.
MAX_TOKEN_BYTES = 16384

_TOKEN = re.compile(
    rb"(?i)(?P<space>[" + WS + rb"]++)"
    rb"|(?P<doctype><!doctype[^>]*+>)"
    rb"|(?P<html><html" + TAG_REST + rb")"
    rb"|(?P<head><head" + TAG_REST + rb")"
    rb"|(?P<skip>" + COMMENT + rb"|" + BOGUS_COMMENT + rb"|" + NOTHING + rb")"
    rb"|(?P<implied></(?:head|body|html|br)" + TAG_REST + rb"|" + START_TAG + rb"|<[^A-Za-z!?/]|[^<])"
    rb"|(?P<stray>" + END_TAG + rb")"
)
# As XML: names as written, no internal subset of a doctype, no text and nothing implied outside of <html>.
_XHTML_TOKEN = re.compile(
    rb"(?P<space>[" + WS + rb"]++)"
    rb"|(?P<doctype><!DOCTYPE[^>\[]*+>)"
    rb"|(?P<html><html" + TAG_REST + rb")"
    rb"|(?P<head><head" + TAG_REST + rb")"
    rb"|(?P<skip><!--(?:[^-]++|-(?!->))*-->|<\?(?:[^?]++|\?(?!>))*\?>)"
    rb"|(?P<implied>" + START_TAG + rb")"
)
_UTF_8_BOM = b"\xef\xbb\xbf"
_UTF_16_BOMS = (b"\xfe\xff", b"\xff\xfe")
_BOMS = (_UTF_8_BOM, *_UTF_16_BOMS)
_AMP = frozenset(f"{lead}{form}".encode() for lead in ("amp", "\u26a1") for form in ("", "4email", "4ads"))


class Prolog:
    """Walks a page's first tokens, over as many pieces as it takes.

    :param xhtml: the page is read as XML.
    :param needs_document: a page with neither a doctype nor ``<html>`` counts as a fragment.
    :ivar found: whether the head begins where :meth:`read` has come to.
    :ivar refusal: why the page is to be left alone, where it is.
    """

    def __init__(self, xhtml: bool, needs_document: bool) -> None:
        self.found = False
        self.refusal: Refusal | None = None
        self._match = (_XHTML_TOKEN if xhtml else _TOKEN).match
        self._xhtml = xhtml
        self._needs_document = needs_document
        self._doctype = False
        self._html = False
        self._started = False

    @property
    def decided(self) -> bool:
        """Whether nothing more needs to be read."""
        return self.found or self.refusal is not None

    def read(self, data: bytes, at_end: bool) -> int:
        """Read on.

        :param data: the page from where the last reading came to.
        :param at_end: nothing follows.
        :returns: how far it is read now; always between two tokens.
        """
        position = 0
        if not self._started:
            if not at_end and any(mark.startswith(data) for mark in _BOMS):
                return 0
            self._started = True
            if data.startswith(_UTF_16_BOMS):
                self.refusal = Refusal.CHARSET
            position = len(_UTF_8_BOM) if data.startswith(_UTF_8_BOM) else 0
        while not self.decided and position < len(data):
            token = self._match(data, position)
            if token is None:
                if at_end or len(data) - position > MAX_TOKEN_BYTES:
                    self.refusal = Refusal.UNSURE
                return position
            position = self._take(token)
        if at_end and not self.decided:
            self._end()
        return position

    def _take(self, token: re.Match[bytes]) -> int:
        """Take one token in; tells where the next one starts, or where the head begins."""
        kind = token.lastgroup
        if token.end() - token.start() > MAX_TOKEN_BYTES:
            self.refusal = Refusal.UNSURE
        elif kind == "doctype":
            self._doctype = True
        elif kind == "html":
            self._html = True
            if not _AMP.isdisjoint(attributes(token.group())):
                self.refusal = Refusal.AMP
        elif kind == "head":
            self._find(self._xhtml and token.group().endswith(b"/>"))
        elif kind == "implied":
            self._find(unsure=False)
            return token.start()
        return token.end()

    def _find(self, unsure: bool) -> None:
        if self._xhtml and (unsure or not self._html):
            self.refusal = Refusal.UNSURE
        elif self._needs_document and not (self._doctype or self._html):
            self.refusal = Refusal.FRAGMENT
        else:
            self.found = True

    def _end(self) -> None:
        if self._html and not self._xhtml:
            self.found = True
        else:
            self.refusal = Refusal.EMPTY
