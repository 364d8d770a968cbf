"""Finds the start of a page's head, by the tree construction rules: the first token that is a head or implies one.

HTML Standard, sections 13.2.6.4.1 to 13.2.6.4.3 ("initial", "before html", "before head"): a byte order mark, white
space, doctypes, comments, ``<html>`` and stray end tags are read over; the head begins after ``<head>``, or else
before the first other token.
"""

from __future__ import annotations

import re

from lbcompanion.html.charset import supports_insertion
from lbcompanion.html.encoding_labels import encoding_of
from lbcompanion.html.page_detection import Refusal
from lbcompanion.html.tokenizer_patterns import (
    ATTRIBUTES,
    BOGUS_COMMENT,
    COMMENT,
    EMPTY_END_TAG,
    END_TAG,
    LAST_SPACE_REFERENCE,
    MAYBE_SPACE_REFERENCE,
    SPACE_REFERENCE,
    START_TAG,
    TAG_REST,
    WS,
    attributes,
)

#: The default of ``limit_bytes``.
DEFAULT_LIMIT_BYTES = 4194304

_LAST_SPACE = re.compile(LAST_SPACE_REFERENCE)
_TOKEN = re.compile(
    rb"(?P<space>[" + WS + rb"]++|" + SPACE_REFERENCE + rb")"
    rb"|(?P<doctype>(?i:<!doctype)[^>]*+>)"
    rb"|(?P<html>(?i:<html)" + TAG_REST + rb")"
    rb"|(?P<head>(?i:<head)" + TAG_REST + rb")"
    rb"|(?P<skip>" + COMMENT + rb"|" + BOGUS_COMMENT + rb"|" + EMPTY_END_TAG + rb")"
    # Of these tags, the name is enough.
    rb"|(?P<implied></(?i:head|body|html|br)(?=["
    + WS
    + rb"/>])|<(?!(?i:html|head)["
    + WS
    + rb"/>])[A-Za-z][^"
    + WS
    + rb"/>]*+(?=["
    + WS
    + rb"/>])|<[^A-Za-z!?/]|(?!"
    + MAYBE_SPACE_REFERENCE
    + rb")[^<])"
    rb"|(?P<stray>" + END_TAG + rb")"
)
# How most pages begin, in one match: the same tokens as above.
_COMMON_START = re.compile(
    rb"(?i)<!doctype html>[" + WS + rb"]*+<html(?:(?=[" + WS + rb"])" + ATTRIBUTES + rb")?>[" + WS + rb"]*+<head>"
)
# As XML: names as written, no text and nothing implied outside of <html>. An internal subset may declare anything:
# the replacement text of an entity is well-formed in itself (XML 1.0, section 4.3.2).
_SUBSET = (
    rb"""\[(?:[^\]"'<]++|"[^"]*+"|'[^']*+'|<!--(?:[^-]++|-(?!->)|)*+-->|<\?(?:[^?]++|\?(?!>)|)*+\?>|<(?!!--|\?)|)*+\]"""
)
_XHTML_TOKEN = re.compile(
    rb"(?P<space>[" + WS + rb"]++)"
    rb"|(?P<doctype><!DOCTYPE(?:[^>\[\"']++|\"[^\"]*+\"|'[^']*+'|)*+(?:" + _SUBSET + rb"[" + WS + rb"]*+)?>)"
    rb"|(?P<html><html" + TAG_REST + rb")"
    rb"|(?P<head><head" + TAG_REST + rb")"
    rb"|(?P<skip><!--(?:[^-]++|-(?!->))*-->|<\?(?:[^?]++|\?(?!>))*\?>)"
    rb"|(?P<implied>" + START_TAG + rb")"
)
# A comment that has not ended; the short ones are whole tokens.
_COMMENT_START = re.compile(rb"<!--(?:[^->]|-[^>])")
_COMMENT_END = re.compile(rb"--!?>")
_XML_COMMENT_END = re.compile(rb"-->")
_COMMENT_END_BYTES = 3
# The tokens that are held back until they end.
_LIMITED = ("doctype", "html", "head", "skip", "implied", "stray")
# At a page's end: "<" and "</" are text there, and a tag that does not end is read over (section 13.2.5.6 and on).
_LAST_TEXT = (b"<", b"</")
_LAST_TAG = re.compile(rb"</?[A-Za-z]")
# Tags that parts of pages rarely begin with. A part often begins with a style sheet or a script.
_BEGINS_DOCUMENT = (b"<title", b"<meta", b"<base", b"<body")
_XHTML = b"http://www.w3.org/1999/xhtml"
_UTF_8_BOM = b"\xef\xbb\xbf"
_XML_ENCODING = re.compile(rb"""<\?xml(?=[""" + WS + rb"""])[^>]*?[""" + WS + rb"""]encoding\s*=\s*["']([^"'>]*)""")
_AMP = frozenset(f"{lead}{form}".encode() for lead in ("amp", "\u26a1") for form in ("", "4email", "4ads"))


def _may_be_amp(tag: bytes) -> bool:
    """Whether a tag has a part of all marks of AMP; the attributes of other tags need not be read."""
    return b"amp" in tag.lower() or b"\xe2\x9a\xa1" in tag


class BeforeHeadReader:
    """Reads a page up to its head, piece by piece.

    :param xhtml: the page is read as XML.
    :param needs_document: a page with neither a doctype nor ``<html>`` counts as a fragment.
    :param accepts_head: a page that begins with a tag that only documents begin with, such as ``<title>``, is no
        fragment.
    :param limit_bytes: of a doctype or a tag that is held back until it ends; comments and white space have no limit.
    :ivar found: whether the head begins where :meth:`read` has come to.
    :ivar refusal: why nothing may be inserted into the page; None if something may be.
    """

    def __init__(
        self, xhtml: bool, needs_document: bool, limit_bytes: int = DEFAULT_LIMIT_BYTES, accepts_head: bool = False
    ) -> None:
        self.found = False
        self.refusal: Refusal | None = None
        self._match = (_XHTML_TOKEN if xhtml else _TOKEN).match
        self._comment_end = _XML_COMMENT_END if xhtml else _COMMENT_END
        self._xhtml = xhtml
        self._needs_document = needs_document
        self._accepts_head = accepts_head
        self._limit_bytes = limit_bytes
        self._doctype = False
        self._html = False
        self._started = False
        self._in_comment = False

    @property
    def decided(self) -> bool:
        """Whether nothing more needs to be read."""
        return self.found or self.refusal is not None

    def read(self, data: bytes, at_end: bool) -> int:
        """Read on.

        :param data: the page from where the last reading came to.
        :param at_end: nothing follows.
        :returns: how far it is read now: always between two tokens, or within a comment.
        """
        position = 0
        if not self._started:
            if not at_end and _UTF_8_BOM.startswith(data):
                return 0
            self._started = True
            position = len(_UTF_8_BOM) if data.startswith(_UTF_8_BOM) else 0
            common = None if self._xhtml else _COMMON_START.match(data, position)
            if common and common.end() - position <= self._limit_bytes and not _may_be_amp(common.group()):
                self._doctype = self._html = self.found = True
                return common.end()
        position = self._read_tokens(data, position, at_end)
        if at_end and not self.decided:
            self._page_ended()
        return position

    def _read_tokens(self, data: bytes, position: int, at_end: bool) -> int:
        while not self.decided and position < len(data):
            if self._in_comment:
                end = self._comment_end.search(data, position)
                if end is None:
                    return len(data) if at_end else max(position, len(data) - _COMMENT_END_BYTES)
                self._in_comment = False
                position = end.end()
            elif token := self._match(data, position):
                position = self._handle_token(token)
            elif _COMMENT_START.match(data, position):
                self._in_comment = True
                position += 4
            else:
                if at_end and not self._xhtml and _LAST_SPACE.fullmatch(data, position):
                    return len(data)
                if at_end or len(data) - position > self._limit_bytes:
                    self._handle_last(data[position:])
                return position
        return position

    def _handle_token(self, token: re.Match[bytes]) -> int:
        """Handle one token; returns the offset of the next one, or of the head."""
        kind = token.lastgroup
        too_long = token.end() - token.start() > self._limit_bytes
        if too_long and kind in _LIMITED and not token.group().startswith(b"<!--"):
            self.refusal = Refusal.UNSURE
        elif kind == "doctype":
            self._doctype = True
        elif kind == "html":
            self._html = True
            tag = token.group()
            if self._xhtml or _may_be_amp(tag):
                self._check_html_attributes(attributes(tag))
        elif kind == "skip" and self._xhtml:
            encoding = _XML_ENCODING.match(token.group())
            # A page in UTF-16 is read here as one byte for each character, and names UTF-16.
            if encoding and not supports_insertion(encoding_of(encoding.group(1).decode("latin-1"))):
                self.refusal = self.refusal or Refusal.CHARSET
        elif kind == "head":
            self._html = self._html or (self._accepts_head and not self._xhtml)
            self._head_begins(self._xhtml and token.group().endswith(b"/>"))
        elif kind == "implied":
            self._html = self._html or (self._accepts_head and token.group().lower() in _BEGINS_DOCUMENT)
            self._head_begins(unsure=False)
            return token.start()
        return token.end()

    def _check_html_attributes(self, found: dict[bytes, bytes]) -> None:
        if not _AMP.isdisjoint(found):
            self.refusal = Refusal.AMP
        elif self._xhtml and found.get(b"xmlns") != _XHTML:
            # In another namespace ``<script>`` is not a script.
            self.refusal = Refusal.UNSURE

    def _handle_last(self, rest: bytes) -> None:
        """Handle the bytes after the last whole token."""
        is_ignored = rest in _LAST_TEXT or rest.startswith(b"&") or _LAST_TAG.match(rest)
        if is_ignored and not self._xhtml and len(rest) <= self._limit_bytes:
            self._head_begins(unsure=False)
        else:
            self.refusal = Refusal.UNSURE

    def _head_begins(self, unsure: bool) -> None:
        if self._xhtml and (unsure or not self._html):
            self.refusal = Refusal.UNSURE
        elif self._needs_document and not (self._doctype or self._html):
            self.refusal = Refusal.FRAGMENT
        else:
            self.found = True

    def _page_ended(self) -> None:
        if self._in_comment:
            self.refusal = Refusal.UNSURE
        elif self._xhtml:
            self.refusal = Refusal.EMPTY
        else:
            self._head_begins(unsure=False)
