"""Finds the URLs of a page's style sheets, scripts, images and fonts, and resolves them as a browser does.

The page is decoded first, and then read as UTF-8, in which the tokenizer's patterns work for every encoding. Reading
takes linear time. Content of ``<noscript>`` and ``<template>`` is read too: an archive may be shown without scripts.
"""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Iterable
from html import unescape
from html.entities import html5

from attrs import evolve, frozen

from lbcompanion.html.charset import page_charset
from lbcompanion.html.css_urls import css_urls
from lbcompanion.html.srcset import srcset_urls
from lbcompanion.html.text_codecs import decode, encoding_name
from lbcompanion.html.tokenizer_patterns import (
    BOGUS_COMMENT,
    COMMENT,
    EMPTY_END_TAG,
    END_TAG,
    START_TAG,
    attributes,
    tag_name,
)
from lbcompanion.html.urls import document_base, resolve_url

#: Only this much of a page is searched.
MAX_SEARCHED_BYTES = 2 * 1024 * 1024
#: After this many different URLs the rest of a page is not searched.
MAX_LINKS = 5000
#: The depth of ``<iframe srcdoc>`` within ``<iframe srcdoc>``. Deeper ones are ignored.
_MAX_SRCDOC_DEPTH = 4

_TOKEN = re.compile(
    rb"(?P<start>" + START_TAG + rb")|(?P<end>" + END_TAG + rb")|(?P<cdata><!\[CDATA\[)|" + COMMENT
    + rb"|" + BOGUS_COMMENT + rb"|" + EMPTY_END_TAG + rb"|(?:[^<]++|<(?![A-Za-z/!?]))++"
)  # fmt: skip
_RAW_TEXT_ENDS = {
    name: re.compile(rb"</" + name + rb"(?=[\t\n\f\r />])", re.IGNORECASE)
    for name in (b"script", b"style", b"title", b"textarea", b"xmp", b"iframe", b"noembed", b"noframes")
}
_FOREIGN = frozenset({b"svg", b"math"})
#: A character reference in an attribute. A name without a semicolon is not one before ``=``, a letter or a digit.
_REFERENCE = re.compile(r"&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[A-Za-z][A-Za-z0-9]{0,31}+(?:;|(?![A-Za-z0-9=])))", re.ASCII)

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
_READ_ALWAYS = frozenset({*_URL_ATTRIBUTES, *_SRCSET_ATTRIBUTES, b"base", b"iframe"})
_MAY_HAVE_CSS = re.compile(rb"url\(|\bstyle\b|\\", re.IGNORECASE)


@frozen
class PageLinks:
    """The requisites of one page.

    :ivar urls: absolute URLs in the order of the page, without duplicates.
    :ivar encoding: the page's encoding, for style sheets without a declaration.
    """

    urls: tuple[str, ...]
    encoding: str


def page_links(body: bytes, url: str, content_type: str) -> PageLinks:
    """Find the requisites of a page.

    :param url: the page's own URL. References to the page itself are left out.
    :param content_type: the value of its ``Content-Type``.
    """
    body = body[:MAX_SEARCHED_BYTES]
    encoding = page_encoding(body, content_type)
    text = decode(body, encoding)
    media_type = content_type.partition(";")[0].strip().lower()
    reader = _Reader(is_xml=media_type.endswith(("+xml", "/xml")))
    reader.read(text)
    found = (
        resolve_url(_base(url, (reader.base, *each.bases)), each.text, "utf-8" if each.in_css else encoding)
        for each in reader.found
    )
    own = url.partition("#")[0]
    return PageLinks(tuple(dict.fromkeys(each for each in found if each and each != own)), encoding)


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


def _base(own: str, hrefs: tuple[str | None, ...]) -> str:
    """Return the base URL of a document that is nested by ``srcdoc``: the inner one is relative to the outer one."""
    for href in hrefs:
        own = document_base(own, href)
    return own


@frozen
class _Found:
    """A URL as it is written.

    :ivar bases: the ``<base href>`` of each nested document, outermost first.
    """

    text: str
    in_css: bool
    bases: tuple[str, ...] = ()


class _Reader:
    """Reads one document and collects its URLs."""

    def __init__(self, *, is_xml: bool, depth: int = 0) -> None:
        self.base: str | None = None
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
        while len(self.found) < MAX_LINKS and (token := _TOKEN.match(page, position)):
            position = token.end()
            if token["start"]:
                position = self._start_tag(page, token["start"], position)
            elif token["end"] and tag_name(token["end"]) in _FOREIGN:
                self._foreign = max(0, self._foreign - 1)
            elif token["cdata"]:
                position = self._cdata_end(page, position)

    def _cdata_end(self, page: bytes, position: int) -> int:
        """Return the end of a CDATA section; in HTML it is a comment that ends at the next ``>``."""
        end = b"]]>" if self._is_xml or self._foreign else b">"
        at = page.find(end, position)
        return len(page) if at < 0 else at + len(end)

    def _start_tag(self, page: bytes, tag: bytes, position: int) -> int:
        """Read a start tag, and the text after it if that is raw text; return where the next token starts."""
        name = tag_name(tag)
        if tag not in self._tags_read and (name in _READ_ALWAYS or _MAY_HAVE_CSS.search(tag)):
            self._tags_read.add(tag)
            self._attributes(name, {key: _attribute_text(value) for key, value in attributes(tag).items()})
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
        if name == b"iframe" and b"srcdoc" in values and self._depth < _MAX_SRCDOC_DEPTH:
            self._add_document(values[b"srcdoc"])
        if name == b"link" and not _LINK_RELATIONS & set(values.get(b"rel", "").lower().split()):
            return
        hrefs = [key for key in _URL_ATTRIBUTES.get(name, ()) if key in values]
        if b"href" in hrefs and b"xlink:href" in hrefs:
            hrefs.remove(b"xlink:href")
        self._add(values[key] for key in hrefs)
        if name in _SRCSET_ATTRIBUTES:
            self._add(srcset_urls(values.get(_SRCSET_ATTRIBUTES[name], "")))
        for key in _CSS_ATTRIBUTES:
            if key in values:
                self._add_css(values[key])

    def _add_document(self, text: str) -> None:
        """Read the document of a ``srcdoc``: its base URL is that of the page, unless it has its own."""
        inner = _Reader(is_xml=False, depth=self._depth + 1)
        inner.read(text)
        bases = () if inner.base is None else (inner.base,)
        self.found.update(dict.fromkeys(evolve(each, bases=bases + each.bases) for each in inner.found))

    def _add(self, urls: Iterable[str]) -> None:
        # An empty URL, or a fragment alone, names the page itself.
        found = (_Found(url, in_css=False) for url in urls if url.strip() and not url.strip().startswith("#"))
        self.found.update(dict.fromkeys(found))

    def _add_css(self, text: str) -> None:
        self.found.update(dict.fromkeys(_Found(url, in_css=True) for url in css_urls(text)))


def _attribute_text(value: bytes) -> str:
    """Return an attribute's value with its character references resolved, by the rules for attributes."""
    text = value.decode("utf-8")
    return _REFERENCE.sub(_referred, text) if "&" in text else text


def _referred(reference: re.Match[str]) -> str:
    name = reference[1]
    return unescape(reference[0]) if name.startswith("#") or name in html5 else reference[0]
