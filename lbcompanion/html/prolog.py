"""Where a page's head begins: the tree rules up to the first token that is a head or implies one.

HTML Standard, sections 13.2.6.4.1 to 13.2.6.4.3 ("initial", "before html", "before head"): a byte order mark, white
space, doctypes, comments, ``<html>`` and stray end tags are passed by; the head begins after ``<head>``, or else
before the first other token.
"""

from __future__ import annotations

import re

from lbcompanion.html.charset import is_ascii_compatible
from lbcompanion.html.eligible import Refusal
from lbcompanion.html.tokenizer_patterns import (
    ATTRIBUTES,
    BOGUS_COMMENT,
    COMMENT,
    EMPTY_END_TAG,
    END_TAG,
    START_TAG,
    TAG_REST,
    WS,
    attributes,
)

#: A token before the head may be this long, in bytes.
MAX_TOKEN_BYTES = 16384

# White space written as a character reference is white space as well; without its ";", what follows must be seen.
_SPACE_NUMBER = rb"#(?:0*+(?:9|1[023]|32)(?:;|(?=[^0-9;])|{end})|x0*+(?:[9acd]|20)(?:;|(?=[^0-9a-f;])|{end}))"
_MAYBE_SPACE = rb"&(?:#(?:[0-9]*+|x[0-9a-f]*+)|(?:t|ta|tab|n|ne|new|newl|newli|newlin|newline)?)\Z"
_LAST_SPACE = re.compile(rb"(?i)&" + _SPACE_NUMBER.replace(b"{end}", rb"\Z"))
_TOKEN = re.compile(
    rb"(?i)(?P<space>[" + WS + rb"]++|&(?:" + _SPACE_NUMBER.replace(b"|{end}", b"") + rb"|(?-i:Tab|NewLine);))"
    rb"|(?P<doctype><!doctype[^>]*+>)"
    rb"|(?P<html><html" + TAG_REST + rb")"
    rb"|(?P<head><head" + TAG_REST + rb")"
    rb"|(?P<skip>" + COMMENT + rb"|" + BOGUS_COMMENT + rb"|" + EMPTY_END_TAG + rb")"
    rb"|(?P<implied></(?:head|body|html|br)"
    + TAG_REST
    + rb"|"
    + START_TAG
    + rb"|<[^A-Za-z!?/]|(?!"
    + _MAYBE_SPACE
    + rb")[^<])"
    rb"|(?P<stray>" + END_TAG + rb")"
)
# How most pages begin, in one match: the same tokens as above.
_COMMON_PROLOG = re.compile(
    rb"(?i)<!doctype html>[" + WS + rb"]*+<html(?:(?=[" + WS + rb"])" + ATTRIBUTES + rb")?>[" + WS + rb"]*+<head>"
)
# As XML: names as written, no text and nothing implied outside of <html>. An internal subset may declare what it
# wants: what an entity stands for is well-formed in itself (XML 1.0, section 4.3.2).
_SUBSET = (
    rb"""\[(?:[^\]"'<]++|"[^"]*+"|'[^']*+'|<!--(?:[^-]++|-(?!->))*+-->|<\?(?:[^?]++|\?(?!>))*+\?>|<(?!!--|\?))*+\]"""
)
_XHTML_TOKEN = re.compile(
    rb"(?P<space>[" + WS + rb"]++)"
    rb"|(?P<doctype><!DOCTYPE(?:[^>\[\"']++|\"[^\"]*+\"|'[^']*+')*+(?:" + _SUBSET + rb"[" + WS + rb"]*+)?>)"
    rb"|(?P<html><html" + TAG_REST + rb")"
    rb"|(?P<head><head" + TAG_REST + rb")"
    rb"|(?P<skip><!--(?:[^-]++|-(?!->))*-->|<\?(?:[^?]++|\?(?!>))*\?>)"
    rb"|(?P<implied>" + START_TAG + rb")"
)
# At a page's end: "<" and "</" are text there, and a tag that does not end is read over (section 13.2.5.6 and on).
_LAST_TEXT = (b"<", b"</")
_LAST_TAG = re.compile(rb"</?[A-Za-z]")
_XHTML = b"http://www.w3.org/1999/xhtml"
_UTF_8_BOM = b"\xef\xbb\xbf"
_XML_ENCODING = re.compile(rb"""<\?xml(?=[""" + WS + rb"""])[^>]*?[""" + WS + rb"""]encoding\s*=\s*["']([^"'>]*)""")
# What AMP's marks have in them: a look at it spares most pages the reading of attributes.
_AMP_WORD = re.compile(rb"(?i)amp|\xe2\x9a\xa1")
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
            if not at_end and _UTF_8_BOM.startswith(data):
                return 0
            self._started = True
            position = len(_UTF_8_BOM) if data.startswith(_UTF_8_BOM) else 0
            common = None if self._xhtml else _COMMON_PROLOG.match(data, position)
            if common and common.end() <= MAX_TOKEN_BYTES and not _AMP_WORD.search(common.group()):
                self._doctype = self._html = self.found = True
                return common.end()
        while not self.decided and position < len(data):
            token = self._match(data, position)
            if token is None:
                if at_end and not self._xhtml and _LAST_SPACE.fullmatch(data, position):
                    position = len(data)
                    break
                if at_end or len(data) - position > MAX_TOKEN_BYTES:
                    self._handle_last(data[position:])
                return position
            position = self._handle_token(token)
        if at_end and not self.decided:
            self._page_ended()
        return position

    def _handle_token(self, token: re.Match[bytes]) -> int:
        """Take one token in; tells where the next one starts, or where the head begins."""
        kind = token.lastgroup
        if token.end() - token.start() > MAX_TOKEN_BYTES:
            self.refusal = Refusal.UNSURE
        elif kind == "doctype":
            self._doctype = True
        elif kind == "html":
            self._html = True
            tag = token.group()
            if self._xhtml or _AMP_WORD.search(tag):
                self._check_html_attributes(attributes(tag))
        elif kind == "skip" and self._xhtml:
            encoding = _XML_ENCODING.match(token.group())
            if encoding and not is_ascii_compatible(encoding.group(1).decode("latin-1").lower()):
                # One in UTF-16 is seen here in its narrow form, and has another name for it.
                self.refusal = self.refusal or (None if encoding.group(1)[:6].lower() == b"utf-16" else Refusal.CHARSET)
        elif kind == "head":
            self._head_begins(self._xhtml and token.group().endswith(b"/>"))
        elif kind == "implied":
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
        """Take in what stands behind the last whole token."""
        is_ignored = rest in _LAST_TEXT or rest.startswith(b"&") or _LAST_TAG.match(rest)
        if is_ignored and not self._xhtml and len(rest) <= MAX_TOKEN_BYTES:
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
        if self._xhtml:
            self.refusal = Refusal.EMPTY
        else:
            self._head_begins(unsure=False)
