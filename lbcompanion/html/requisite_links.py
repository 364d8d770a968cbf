"""Finds the URLs of a page's style sheets, scripts, images and fonts, and resolves them as a browser does.

The page is decoded first, and then read as UTF-8, in which the tokenizer's patterns work for every encoding. Reading
takes linear time, and stops after :data:`MAX_STEPS`. Content of ``<noscript>`` and ``<template>`` is read too: an
archive may be shown without scripts.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from attrs import frozen

from lbcompanion.html.character_references import attribute_text
from lbcompanion.html.charset import page_charset
from lbcompanion.html.css_urls import CssUrls, read_css
from lbcompanion.html.possessive import one_or_more
from lbcompanion.html.srcset import SrcsetUrls, read_srcset
from lbcompanion.html.text_codecs import decode, encoding_name
from lbcompanion.html.tokenizer_patterns import (
    BOGUS_COMMENT,
    COMMENT,
    EMPTY_END_TAG,
    END_TAG,
    RAW_TEXT,
    START_TAG,
    TEXT,
    any_case,
    attributes,
    raw_text_ends,
    tag_name,
)
from lbcompanion.html.urls import MAX_URL_CHARS, document_base, resolve_url

#: Only this much of a page is searched.
MAX_SEARCHED_BYTES = 2 * 1024 * 1024
#: A longer ``<base href>`` is ignored: no real URL within the limit is written with more characters.
MAX_HREF_CHARS = 4 * MAX_URL_CHARS
#: After this many different URLs the rest of a page is not searched.
MAX_LINKS = 5000
#: After this many steps the rest of a page is not searched. A token is one step, a tag whose attributes are read takes
#: more, and so do CSS and the candidates of a ``srcset``. Text, and tags that cannot name a file, do not count. A page
#: of 2 MiB of documentation has some 30,000 steps.
MAX_STEPS = 80_000
_STEPS_FOR_ATTRIBUTES = 4
#: The depth of ``<iframe srcdoc>`` within ``<iframe srcdoc>``. Deeper ones are not searched.
_MAX_SRCDOC_DEPTH = 4

_TOKEN = re.compile(
    rb"(?P<start>" + START_TAG + rb")|(?P<end>" + END_TAG + rb")|(?P<cdata><!\[CDATA\[)|" + COMMENT
    + rb"|" + BOGUS_COMMENT + rb"|" + EMPTY_END_TAG + rb"|" + TEXT
)  # fmt: skip
# Without scripts, what is in <noscript> is markup.
_RAW_TEXT_ENDS = raw_text_ends(*(name for name in RAW_TEXT if name != b"noscript"))
_FOREIGN = frozenset({b"svg", b"math"})

_LINK_RELATIONS = frozenset(
    {"stylesheet", "icon", "preload", "modulepreload", "manifest", "mask-icon"}
    | {"apple-touch-icon", "apple-touch-icon-precomposed", "apple-touch-startup-image"}
)
_HREFS = (b"href", b"xlink:href")
#: The attributes of each element that name a requisite; of two ``href`` the one without a prefix counts.
_URL_ATTRIBUTES: dict[bytes, tuple[bytes, ...]] = {
    b"script": (b"src", *_HREFS),
    b"img": (b"src",),
    b"input": (b"src",),
    b"video": (b"poster",),
    b"object": (b"data",),
    b"embed": (b"src",),
    b"link": (b"href",),
    b"image": _HREFS,
    b"use": _HREFS,
    b"feimage": _HREFS,
    **dict.fromkeys((b"body", b"table", b"thead", b"tbody", b"tfoot", b"tr", b"td", b"th"), (b"background",)),
}
_SRCSET_ATTRIBUTES = {b"img": b"srcset", b"source": b"srcset", b"link": b"imagesrcset"}
#: Attributes whose value is read as CSS.
_CSS_ATTRIBUTES = (
    *(b"style", b"fill", b"stroke", b"filter", b"mask", b"clip-path", b"cursor"),
    *(b"marker-start", b"marker-mid", b"marker-end"),
)
_CSS_ATTRIBUTE_NAMES = frozenset(_CSS_ATTRIBUTES)
#: All attributes that :meth:`_Reader._attributes` reads.
_READ_ATTRIBUTES = frozenset(
    {*chain(*_URL_ATTRIBUTES.values()), *_SRCSET_ATTRIBUTES.values(), *_CSS_ATTRIBUTES, b"href", b"rel", b"srcdoc"}
)
_READ_ALWAYS = frozenset({*_URL_ATTRIBUTES, *_SRCSET_ATTRIBUTES, b"base", b"iframe"})
#: Tags that change how the following is read, and those that may name a file by an attribute.
_TURNING = rb"(?:" + any_case(*sorted({*_RAW_TEXT_ENDS, *_FOREIGN, b"plaintext"})) + rb")"
_NAMING = rb"(?:" + any_case(*sorted(_READ_ALWAYS)) + rb")"
_PLAIN_VALUE = rb"""(?:"[^"&(]*+"|'[^'&(]*+'|[^\t\n\f\r "'&(<>=`]++)"""
_PLAIN_ATTRIBUTE = rb"[\t\n\f\r ]++[A-Za-z][-A-Za-z0-9_:.]*+(?:=" + _PLAIN_VALUE + rb")?"
#: Text, and other tags of the plainest form. In an attribute that has neither ``(`` nor ``&`` there is no ``url()``.
_PLAIN = re.compile(
    one_or_more(rb"[^<]++|</(?!(?:" + any_case(*sorted(_FOREIGN)) + rb")>)[A-Za-z][A-Za-z0-9]*+>"
    + rb"|<(?!" + _TURNING + rb"[\t\n\f\r />])(?:[A-Za-z][A-Za-z0-9]*+>"
    + rb"|(?!" + _NAMING + rb"[\t\n\f\r />])[A-Za-z][A-Za-z0-9]*+(?:" + _PLAIN_ATTRIBUTE
    + rb"|)*+[\t\n\f\r ]*+/?>)")
)  # fmt: skip
_MAY_HAVE_CSS = re.compile(rb"url\(|\bstyle\b|\\", re.IGNORECASE)


@frozen
class PageLinks:
    """The requisites of one page.

    :ivar urls: absolute URLs in the order of the page, without duplicates.
    :ivar encoding: the page's encoding, for style sheets without a declaration.
    :ivar unsearched: why a part of the page was not searched; empty if all of it was.
    """

    urls: tuple[str, ...]
    encoding: str
    unsearched: str = ""


def page_links(body: bytes, url: str, content_type: str) -> PageLinks:
    """Find the requisites of a page.

    :param url: the page's own URL. References to the page itself are left out.
    :param content_type: the value of its ``Content-Type``.
    """
    cut = len(body) > MAX_SEARCHED_BYTES
    body = body[:MAX_SEARCHED_BYTES]
    encoding = page_encoding(body, content_type)
    text = decode(body, encoding)
    media_type = content_type.partition(";")[0].strip().lower()
    reader = _Reader(_Limits(), is_xml=media_type.endswith(("+xml", "/xml")))
    reader.read(text)
    bases = _Bases(url, reader.base)
    found = (
        resolve_url(bases.of(each.bases), each.text, "utf-8" if each.in_utf8 else encoding) for each in reader.found
    )
    own = url.partition("#")[0]
    urls = tuple(dict.fromkeys(each for each in found if each and each != own))
    unsearched = reader.limits.reached or (f"longer than {MAX_SEARCHED_BYTES} bytes" if cut else bases.refused)
    return PageLinks(urls, encoding, unsearched)


def page_encoding(body: bytes, content_type: str) -> str:
    """Return the page's encoding; without a declaration UTF-8 if the bytes are valid UTF-8, else windows-1252."""
    label = page_charset(content_type.encode("latin-1", "replace"), body[:4096])
    if declared := encoding_name(label or ""):
        return declared
    try:
        getincrementaldecoder("utf-8")().decode(body)
    except UnicodeDecodeError:
        return "windows-1252"
    return "utf-8"


class _Bases:
    """The base URLs of a page and of the documents in it.

    A base URL of a megabyte would be read again for each link. No URL of such a length is requested, so that its
    document has no links but absolute ones.

    :ivar refused: why a base URL is not used; empty if all are.
    """

    _NONE = "about:invalid"

    def __init__(self, own: str, href: str | None) -> None:
        self.refused = ""
        self._page = self._next(own, href)
        self._of: dict[tuple[str, ...], str] = {}

    def of(self, hrefs: tuple[str, ...]) -> str:
        """Return the base URL of a document that is nested by ``srcdoc``: the inner one is relative to the outer."""
        if not hrefs:
            return self._page
        base = self._of.get(hrefs)
        if base is None:
            base = self._of[hrefs] = self._next(self.of(hrefs[:-1]), hrefs[-1])
        return base

    def _next(self, own: str, href: str | None) -> str:
        if own == self._NONE or href is None:
            return own
        base = document_base(own, href) if len(href) <= MAX_HREF_CHARS else ""
        if 0 < len(base) <= MAX_URL_CHARS:
            return base
        self.refused = f"its base URL is longer than {MAX_URL_CHARS} characters"
        return self._NONE


class _Limits:
    """The links and steps that are left for the readers of a page and of the documents in it.

    :ivar reached: the first limit that was reached; empty if none was.
    """

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.reached = ""

    def may_go_on(self, links: int) -> bool:
        """Whether there may be more steps and more links."""
        if self.steps <= 0:
            self.note("its markup takes too long to search")
        elif links >= MAX_LINKS:
            self.note(f"more than {MAX_LINKS} links")
        return self.steps > 0 and links < MAX_LINKS

    def note(self, limit: str) -> None:
        """Note that a limit was reached."""
        self.reached = self.reached or limit


class _Found(NamedTuple):
    """A URL as it is written.

    :ivar in_utf8: whether browsers send its query in UTF-8, whatever the page's encoding: that of a ``style``
        attribute, of ``@import``, and of a document in ``srcdoc``.
    :ivar bases: the ``<base href>`` of each nested document, outermost first.
    """

    text: str
    in_utf8: bool
    bases: tuple[str, ...] = ()


class _Reader:
    """Reads one document and collects its URLs."""

    def __init__(self, limits: _Limits, *, is_xml: bool, depth: int = 0) -> None:
        self.base: str | None = None
        self.limits = limits
        #: In the order of the document, without duplicates.
        self.found: dict[_Found, None] = {}
        self._tags_read: set[bytes] = set()
        self._is_xml = is_xml
        self._depth = depth
        self._foreign = 0

    def read(self, text: str) -> None:
        page = text.encode("utf-8", "replace")
        position = 0
        # Where no token matches, the rest of the page is a tag or a comment without an end, which browsers drop.
        while position < len(page) and self.limits.may_go_on(len(self.found)):
            self.limits.steps -= 1
            if plain := _PLAIN.match(page, position):
                position = plain.end()
            token = _TOKEN.match(page, position)
            if token is None:
                break
            position = token.end()
            kind = token.lastgroup
            if kind == "start":
                position = self._start_tag(page, token[0], position)
            elif kind == "end" and tag_name(token[0]) in _FOREIGN:
                self._foreign = max(0, self._foreign - 1)
            elif kind == "cdata":
                position = self._cdata_end(page, position)

    def _cdata_end(self, page: bytes, position: int) -> int:
        """Return the end of a CDATA section; in HTML it is a comment that ends at the next ``>``."""
        end = b"]]>" if self._is_xml or self._foreign else b">"
        at = page.find(end, position)
        return len(page) if at < 0 else at + len(end)

    def _start_tag(self, page: bytes, tag: bytes, position: int) -> int:
        """Read a start tag, and the text after it if that is raw text; return where the next token starts."""
        name = tag_name(tag)
        if tag not in self._tags_read and (name in _READ_ALWAYS or _may_have_css_url(tag)):
            self._tags_read.add(tag)
            self.limits.steps -= _STEPS_FOR_ATTRIBUTES
            found = {key: attribute_text(value) for key, value in attributes(tag).items() if key in _READ_ATTRIBUTES}
            self._attributes(name, found)
        closed = tag.endswith(b"/>") and (self._is_xml or self._foreign > 0)
        if name in _FOREIGN and not tag.endswith(b"/>"):
            self._foreign += 1
        if name == b"plaintext" and not (self._foreign or self._is_xml):
            return len(page)
        if closed or name not in _RAW_TEXT_ENDS:
            return position
        end = _RAW_TEXT_ENDS[name].search(page, position)
        raw = page[position : end.start() if end else len(page)]
        if name == b"style":
            self._add_css(raw.decode("utf-8").replace("<![CDATA[", "").replace("]]>", ""))
        elif self._foreign and name in {b"title", b"script"}:
            return position  # in SVG these hold markup
        return end.start() if end else len(page)

    def _attributes(self, name: bytes, values: dict[bytes, str]) -> None:
        if name == b"base" and self.base is None:
            self.base = values.get(b"href")
        if name == b"iframe" and b"srcdoc" in values:
            self._add_document(values[b"srcdoc"])
        if name == b"link" and not _LINK_RELATIONS & set(values.get(b"rel", "").lower().split()):
            return
        hrefs = [key for key in _URL_ATTRIBUTES.get(name, ()) if key in values]
        if b"href" in hrefs and b"xlink:href" in hrefs:
            hrefs.remove(b"xlink:href")
        self._add(values[key] for key in hrefs)
        if srcset := values.get(_SRCSET_ATTRIBUTES.get(name, b""), ""):
            candidates = read_srcset(srcset, max(self.limits.steps, 1), MAX_LINKS)
            self._count(candidates)
            self._add(candidates.urls)
        if not _CSS_ATTRIBUTE_NAMES.isdisjoint(values):
            for key in _CSS_ATTRIBUTES:
                if "(" in values.get(key, ""):
                    self._add_css(values[key], in_attribute=True)

    def _add_document(self, text: str) -> None:
        """Read the document of a ``srcdoc``: its base URL is that of the page, unless it has its own."""
        if self._depth >= _MAX_SRCDOC_DEPTH:
            self.limits.note(f"more than {_MAX_SRCDOC_DEPTH} documents nested by srcdoc")
            return
        inner = _Reader(self.limits, is_xml=False, depth=self._depth + 1)
        inner.read(text)
        bases = () if inner.base is None else (inner.base,)
        nested = (_Found(each.text, in_utf8=True, bases=bases + each.bases) for each in inner.found)
        self.found.update(dict.fromkeys(nested))

    def _add(self, urls: Iterable[str]) -> None:
        # An empty URL, or a fragment alone, names the page itself.
        for url in urls:
            text = url.strip()
            if text and text[0] != "#":
                self.found[_Found(url, in_utf8=False)] = None

    def _count(self, read: CssUrls | SrcsetUrls) -> None:
        self.limits.steps -= read.steps
        if not read.is_whole:
            # Noted here too, since the page may end with this text.
            self.limits.may_go_on(len(read.urls))

    def _add_css(self, text: str, *, in_attribute: bool = False) -> None:
        css = read_css(text, max_steps=max(self.limits.steps, 1), max_urls=MAX_LINKS)
        self._count(css)
        found = (_Found(url, in_utf8=in_attribute or url in css.imported) for url in css.urls)
        self.found.update(dict.fromkeys(found))


def _may_have_css_url(tag: bytes) -> bool:
    """Whether an attribute of a tag may hold CSS with a URL: a CSS function needs a parenthesis."""
    return (b"(" in tag or b"&" in tag) and _MAY_HAVE_CSS.search(tag) is not None
