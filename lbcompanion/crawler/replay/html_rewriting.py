"""Rewrites a page for its replay: it loads files of the recording only, and has no forms, scripts or handlers.

On the listener for scripts, the page keeps its scripts and handlers (:data:`Prologue`); all else is the same.

The page is read into tokens, and a new page is written from them: all attributes are quoted, each ``<`` in a text or a
value is escaped, and comments and the content of scripts are left out. So every parser reads the same tokens in the
result, even if parsers disagree about the page's tree, raw text, CDATA sections or comments. A policy and a sandbox
(see :mod:`lbcompanion.crawler.admin.replay_pages`) stop what would pass nevertheless.

Reading takes linear time; a page of a megabyte takes about a second, so it is done in another thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import StrEnum
from html import escape
from urllib.parse import quote

from attrs import evolve, field, frozen

from lbcompanion.crawler.replay.css_rewriting import NOTHING, rewrite_css, safe_in_element
from lbcompanion.crawler.replay.page_tokens import FOREIGN, RAW_TEXT_ELEMENTS, PageTokens
from lbcompanion.html.character_references import attribute_text
from lbcompanion.html.css_urls import CssUrlPlace
from lbcompanion.html.elements import VOID, as_bytes
from lbcompanion.html.possessive import one_or_more
from lbcompanion.html.requisite_links import page_encoding
from lbcompanion.html.srcset import srcset_candidates
from lbcompanion.html.text_codecs import decode
from lbcompanion.html.tokenizer_patterns import attributes, tag_name
from lbcompanion.html.urls import MAX_URL_CHARS, document_base, resolve_url

#: Documents in ``srcdoc`` within documents in ``srcdoc``: deeper ones are left empty.
MAX_SRCDOC_DEPTH = 4

_DOCTYPE = re.compile(rb"<!doctype[^<>]*>", re.IGNORECASE)
_NAME = re.compile(rb"""[A-Za-z][^\x00-\x20"'<>/=&`\x7f]*""")
_ATTRIBUTE_NAME = re.compile(rb"""[^\x00-\x20"'<>/=&`\x7f]+""")
_VOID = as_bytes(VOID)
#: Elements whose tags are left out. Their content stays.
_DROPPED_ELEMENTS = frozenset(
    {b"base", b"applet", b"portal", b"fencedframe", b"webview", b"bgsound", b"param", b"plaintext", b"controlledframe"}
)
_SHOWN_METAS = frozenset({"viewport", "color-scheme", "theme-color", "description", "keywords", "author", "generator"})
_SCRIPT_ATTRIBUTES = frozenset({b"id", b"class", b"type", b"language", b"async", b"defer", b"nomodule"})
_LINK_ATTRIBUTES = frozenset({b"rel", b"href", b"media", b"title", b"type", b"sizes", b"disabled", b"id", b"class"})

#: Attributes that are left out wherever they are.
_DROPPED_ATTRIBUTES = frozenset(
    {
        *(b"integrity", b"crossorigin", b"nonce", b"ping", b"attributionsrc", b"action", b"formaction", b"formtarget"),
        *(b"manifest", b"codebase", b"classid", b"archive", b"code", b"profile", b"longdesc", b"cite", b"autofocus"),
        *(b"autoplay", b"download", b"referrerpolicy", b"allow", b"csp", b"sandbox", b"allowfullscreen", b"icon"),
        *(b"credentialless", b"browsingtopics", b"sharedstoragewritable", b"adauctionheaders", b"xml:base", b"dynsrc"),
        *(b"lowsrc", b"imagesrcset", b"imagesizes", b"http-equiv", b"privatetoken", b"srcset", b"srcdoc"),
        *(b"fetchpriority", b"itemtype", b"itemid", b"xlink:arcrole", b"xlink:role"),
    }
)  # fmt: skip
#: Attributes that are read by what their element does with them.
_SPECIAL_ATTRIBUTES = frozenset(
    {b"src", b"href", b"xlink:href", b"poster", b"background", b"data", b"target", b"style"}
)
_IMAGE_SOURCES = frozenset({b"img", b"image", b"input"})
_MEDIA = frozenset({b"video", b"audio", b"source", b"track"})
_SRCSET_ELEMENTS = frozenset({b"img", b"source"})
_HREFS = (b"href", b"xlink:href")
#: Attributes that SMIL must not animate.
_ADDRESS_NAMES = frozenset(
    {*(key.decode() for key in _DROPPED_ATTRIBUTES | _SPECIAL_ATTRIBUTES), "usemap"} | {"srcset", "imagesrcset"}
)
#: Attributes with text of any kind, which no browser loads.
_TEXT_ATTRIBUTES = frozenset(
    {b"title", b"alt", b"value", b"placeholder", b"label", b"summary", b"content", b"id", b"class", b"name", b"for"}
    | {b"lang", b"xmlns", b"xmlns:xlink", b"pattern", b"abbr", b"headers", b"part", b"slot", b"itemprop", b"property"}
)  # fmt: skip
_SPECIAL = b"|".join(sorted({*RAW_TEXT_ELEMENTS, *_DROPPED_ELEMENTS, *FOREIGN, b"meta", b"link", b"embed"}))
#: Text and tags that are written as they are, which most of a page consists of.
_PLAIN = re.compile(
    one_or_more(
        rb"[^<]++|</?(?!(?:" + _SPECIAL + rb")[ >])[a-z][a-z0-9]*+(?: (?:class|id|title|alt|width|height|colspan"
        rb"|rowspan|role|type|name|value|for|lang|dir|align|valign|aria-[a-z]++|data-[-a-z]++)=\"[^\"<>&(]*+\"|)*+>"
    )
)  # fmt: skip
_MAY_BE_CSS = re.compile(r"[(\\]")
#: A value that some browser could take for an address: with a scheme, or relative to one.
_MAY_BE_ADDRESS = re.compile(r"[\x00-\x20]*(?:[A-Za-z][A-Za-z0-9+.\-\t\n\r]*:|[/\\][\t\n\r]*[/\\])")
_DATA = re.compile(r"[\x00-\x20]*d[\t\n\r]*a[\t\n\r]*t[\t\n\r]*a[\t\n\r]*:", re.IGNORECASE)
_JAVASCRIPT = re.compile(r"[\x00-\x20]*javascript:", re.IGNORECASE)
_REFRESH = re.compile(
    r"""\s*(?P<seconds>[0-9]+)?[0-9.]*(?:[\s;,]+(?:url\s*=\s*)?(?P<quote>["']?)(?P<url>.*))?""",
    re.IGNORECASE | re.DOTALL,
)


class Use(StrEnum):
    """The use that a browser makes of an address."""

    LINK = "link"  # go there, when the reader wants to
    IMAGE = "image"
    STYLE = "style sheet"
    FILE = "file"  # an image or a font of a style sheet, a part of an SVG file
    SCRIPT = "script"
    FRAME = "frame"
    OBJECT = "object"
    MEDIA = "video or sound"


@frozen
class Replacement:
    """The replacement of an address.

    :ivar address: of the replay; empty if there is nothing that could be shown.
    :ivar missing: why the file is not shown, for people; empty if it is.
    """

    address: str
    missing: str = ""


#: Called with a document's base URL; returns the tag of the script that runs before the document's own scripts.
Prologue = Callable[[str], bytes]
#: Called with the use and an absolute http or https URL without its fragment.
Resolve = Callable[[Use, str], Replacement]


@frozen
class Refresh:
    """The target of a page's own redirect (``<meta http-equiv=refresh>``), which the replay does not follow.

    :ivar url: the absolute address.
    """

    seconds: int
    url: str


@frozen
class RewrittenPage:
    """A page as the replay shows it.

    :ivar body: HTML in UTF-8.
    :ivar missing: why files are not shown, by their addresses.
    :ivar refresh: from its ``<meta http-equiv=refresh>``; None if it has none.
    :ivar scripts: how many scripts it has that do not run. Handlers are not counted.
    """

    body: bytes = field(repr=False)
    missing: dict[str, str] = field(factory=dict)
    refresh: Refresh | None = None
    scripts: int = 0


@frozen
class _Place:
    """The base of a document's relative addresses, and the encoding of its queries.

    :ivar prologue: None: the document has no scripts.
    """

    own: str
    base: str
    encoding: str
    resolve: Resolve
    prologue: Prologue | None = None
    depth: int = 0


def rewrite_page(
    body: bytes, url: str, content_type: str, resolve: Resolve, prologue: Prologue | None = None
) -> RewrittenPage:
    """Rewrite a page.

    :param url: the page's own address.
    :param content_type: the value of its ``Content-Type``.
    :param resolve: says what stands in the place of an address.
    :param prologue: where the page keeps its scripts: what runs before them.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    encoding = page_encoding(body, content_type)
    page = decode(body, encoding).encode("utf-8", "replace")
    place = _Place(url, url, encoding, resolve, prologue)
    rewriter = _Rewriter(page, place, is_xml=media_type.endswith(("+xml", "/xml")))
    return RewrittenPage(rewriter.rewrite(), rewriter.missing, rewriter.refresh, rewriter.scripts)


class _Rewriter:
    """Rewrites one document."""

    def __init__(self, page: bytes, place: _Place, *, is_xml: bool) -> None:
        self.missing: dict[str, str] = {}
        self.refresh: Refresh | None = None
        self.scripts = 0
        self._page = page
        self._is_xml = is_xml
        self._tokens = PageTokens(page, _PLAIN, is_xml=is_xml)
        self._has_frames = b"frame" in page.lower()
        self._out: list[bytes] = []
        self._written: dict[tuple[bytes, bool], bytes] = {}
        self._place = place
        self._place = evolve(place, base=self._base(place))

    def _base(self, place: _Place) -> str:
        """The base URL: the first ``<base href>`` counts for the whole page, as for the crawler."""
        if b"<base" not in self._page.lower():
            return place.base
        for kind, token, _position in self._tokens.read():
            if kind == "start" and tag_name(token) == b"base":
                href = attributes(token).get(b"href")
                if href is not None:
                    base = document_base(place.base, attribute_text(href)) if len(href) < 4 * MAX_URL_CHARS else ""
                    return base if 0 < len(base) <= MAX_URL_CHARS else "about:invalid"
        return place.base

    def rewrite(self) -> bytes:
        """Return the document."""
        begin = 0
        for kind, token, position in self._tokens.read():
            if kind == "plain":
                self._out.append(token)
            elif kind == "start":
                self._start_tag(token)
            elif kind == "end":
                self._end_tag(token)
            elif kind in ("text", "plaintext"):
                self._out.append(token.replace(b"<", b"&lt;"))
            elif kind == "cdata":
                self._out.append(_escaped_text(token))
            elif kind == "bogus" and not position and _DOCTYPE.fullmatch(token):
                self._out.append(token)
                begin = len(self._out)
            elif kind == "raw":
                self._raw_text(*token.split(b"\0", 1))
        if self._place.prologue is not None:
            self._out.insert(begin, self._place.prologue(self._place.base))
        return b"".join(self._out)

    def _raw_text(self, name: bytes, text: bytes) -> None:
        if name == b"style":
            css = text.decode("utf-8").replace("<![CDATA[", "").replace("]]>", "")
            self._out.append(rewrite_css(safe_in_element(css), self._css_url).encode("utf-8", "replace"))
        elif name in (b"title", b"textarea", b"xmp"):
            self._out.append(_escaped_text(text) if name == b"xmp" else text.replace(b"<", b"&lt;"))
        elif name == b"script" and self._place.prologue is not None and not self._tokens.foreign:
            self._out.append(text)
        # What <iframe>, <noembed>, <noframes> and <script> have is not shown by browsers.

    def _end_tag(self, tag: bytes) -> None:
        name = tag_name(tag)
        if name == b"xmp":
            name = b"pre"
        if name not in _DROPPED_ELEMENTS and _NAME.fullmatch(name):
            self._out.append(b"</" + name + b">")

    def _start_tag(self, tag: bytes) -> None:
        key = (tag, self._tokens.foreign > 0)
        if tag[:7].lower() == b"<script" and self._place.prologue is None:
            self.scripts += _is_program(tag)
        written = self._written.get(key)
        if written is None:
            written = self._written[key] = self._rewritten_tag(tag)
        self._out.append(written)

    def _rewritten_tag(self, tag: bytes) -> bytes:
        name = tag_name(tag)
        if name in _DROPPED_ELEMENTS or not _NAME.fullmatch(name):
            return b""
        values = {key: attribute_text(value) for key, value in attributes(tag).items()}
        if name == b"meta":
            return self._meta(values)
        if name == b"link":
            return self._link(values, self._end(name, tag))
        found = self._attributes(name, values)
        shown = b"pre" if name == b"xmp" else name
        return b"" if found is None else _tag(shown, found, self._end(name, tag).replace(name, shown))

    def _end(self, name: bytes, tag: bytes) -> bytes:
        """How a start tag is to end: an element that is closed by it is closed for other readers too."""
        is_element = (self._is_xml or self._tokens.foreign) and tag.endswith(b"/>")
        if name in RAW_TEXT_ELEMENTS:
            return b"></" + name + b">" if is_element else b">"
        is_void = name in _VOID and not self._is_xml and not self._tokens.foreign
        if not tag.endswith(b"/>") or is_void:
            return b">"
        return b"></" + name + b">" if self._is_xml and not self._tokens.foreign and name not in _VOID else b"/>"

    def _attributes(self, name: bytes, values: dict[bytes, str]) -> dict[bytes, str] | None:
        """Return the attributes of an element as they are written; None: its tag is left out."""
        if name == b"script" and self._place.prologue is not None:
            return self._script(values)
        if name == b"script":
            return {key: value for key, value in values.items() if key in (b"id", b"class")}
        found: dict[bytes, str] = {}
        for key, value in values.items():
            if key in _DROPPED_ATTRIBUTES or not _ATTRIBUTE_NAME.fullmatch(key):
                continue
            if key.startswith(b"on"):
                if self._place.prologue is not None:
                    found[key] = value
                continue
            if key in _SPECIAL_ATTRIBUTES:
                continue
            if key.startswith((b"data-", b"aria-")) or key in _TEXT_ATTRIBUTES:
                found[key] = value
            elif not _MAY_BE_ADDRESS.match(value):
                may_be_css = _MAY_BE_CSS.search(value)
                found[key] = rewrite_css(value, self._css_attribute_url) if may_be_css else value
        self._special_attributes(name, values, found)
        if _animates_address(values.get(b"attributename", "")):
            found.pop(b"attributename", None)
        if name == b"embed" and b"src" not in found:
            return None
        return found

    def _script(self, values: dict[bytes, str]) -> dict[bytes, str]:
        """Return the attributes of a script that may run; one whose file is missing is empty."""
        kept = {key: value for key, value in values.items() if key in _SCRIPT_ATTRIBUTES or key.startswith(b"data-")}
        if b"src" in values:
            kept[b"src"] = self._file(Use.SCRIPT, values[b"src"]).address or NOTHING
        return kept

    def _special_attributes(self, name: bytes, values: dict[bytes, str], found: dict[bytes, str]) -> None:
        """Add the attributes that name files, links and frames, and those that have CSS."""
        if b"style" in values:
            found[b"style"] = rewrite_css(values[b"style"], self._css_attribute_url)
        target = values.get(b"target", "")
        if target and not target.startswith("_") and self._has_frames:
            found[b"target"] = target
        for key in _HREFS:
            if key in values and (address := self._href(name, values[key])):
                found[key] = address
        if b"poster" in values and name == b"video":
            _put(found, b"poster", self._file(Use.FILE, values[b"poster"]).address)
        if b"background" in values:
            _put(found, b"background", self._file(Use.FILE, values[b"background"]).address)
        if name == b"object" and b"data" in values:
            _put(found, b"data", self._file(Use.OBJECT, values[b"data"]).address)
            found.pop(b"type", None)
        if name == b"iframe" and b"srcdoc" in values:
            found[b"srcdoc"] = self._srcdoc(values[b"srcdoc"])
        if name in _SRCSET_ELEMENTS and b"srcset" in values:
            _put(found, b"srcset", self._srcset(values[b"srcset"]))
        if b"src" in values:
            self._src(name, values[b"src"], found)

    def _src(self, name: bytes, value: str, found: dict[bytes, str]) -> None:
        if name in _IMAGE_SOURCES:
            image = self._file(Use.IMAGE, value)
            if image.missing and found.get(b"srcset"):
                return  # another candidate is there
            _put(found, b"src", image.address)
            if image.missing:
                found[b"title"] = "; ".join(filter(None, (found.get(b"title", ""), f"Not recorded: {image.missing}")))
        elif name in (b"iframe", b"frame"):
            if b"srcdoc" not in found and value.strip().lower() not in ("", "about:blank"):
                _put(found, b"src", self._file(Use.FRAME, value).address)
        elif name == b"embed":
            _put(found, b"src", self._file(Use.OBJECT, value).address)
            found.pop(b"type", None)
        elif name in _MEDIA:
            _put(found, b"src", self._file(Use.MEDIA, value).address)

    def _href(self, name: bytes, value: str) -> str:
        """Return what a link, or a part of SVG, refers to."""
        text = value.strip()
        if text.startswith("#") and (self._place.base == self._place.own or name not in (b"a", b"area")):
            return text
        if name in (b"a", b"area"):
            return self._link_address(value)
        if name in (b"image", b"feimage"):
            return self._file(Use.IMAGE, value).address
        return "" if _DATA.match(text) else self._file(Use.FILE, value).address

    def _link_address(self, value: str) -> str:
        url = self._absolute(value)
        fragment = _fragment(value)
        if url and fragment and url == self._place.own.partition("#")[0]:
            return fragment
        if url:
            return self._place.resolve(Use.LINK, url).address + fragment
        if self._place.prologue is not None and _JAVASCRIPT.match(value):
            return value.strip()
        # Not an address of a page, such as mailto: or javascript:.
        return self._place.resolve(Use.LINK, value.strip()[:MAX_URL_CHARS]).address

    def _absolute(self, text: str, *, in_utf8: bool = False) -> str:
        return resolve_url(self._place.base, text, "utf-8" if in_utf8 else self._place.encoding)

    def _file(self, use: Use, text: str, *, in_utf8: bool = False) -> Replacement:
        """Return the replacement of the address of a file, and note it if it is missing."""
        stripped = text.strip("\t\n\f\r ")
        if not stripped:
            return Replacement("")
        if _DATA.match(stripped) and use in (Use.IMAGE, Use.FILE):
            return Replacement(stripped)
        url = self._absolute(text, in_utf8=in_utf8)
        if not url:
            self.missing[stripped[:200]] = why = "not an address of http or https"
            return evolve(self._place.resolve(use, ""), missing=why)
        found = self._place.resolve(use, url)
        if found.missing:
            self.missing[url] = found.missing
        return evolve(found, address=found.address + _fragment(text)) if found.address and use is Use.FILE else found

    def _srcset(self, text: str) -> str:
        """Return the candidates that are recorded."""
        kept: list[str] = []
        for url, descriptors in srcset_candidates(text):
            found = self._file(Use.IMAGE, url)
            if found.address and not found.missing:
                kept.append(" ".join((found.address, *descriptors)))
        return ", ".join(kept)

    def _css_url(self, place: CssUrlPlace) -> str:
        use = Use.STYLE if place.is_imported else Use.FILE
        return self._file(use, place.url, in_utf8=place.is_imported).address or NOTHING

    def _css_attribute_url(self, place: CssUrlPlace) -> str:
        return self._file(Use.FILE, place.url, in_utf8=True).address or NOTHING

    def _srcdoc(self, text: str) -> str:
        if self._place.depth >= MAX_SRCDOC_DEPTH:
            return ""
        place = evolve(self._place, own=self._place.base, encoding="utf-8", depth=self._place.depth + 1)
        inner = _Rewriter(text.encode("utf-8", "replace"), place, is_xml=False)
        document = inner.rewrite().decode("utf-8")
        self.missing.update(inner.missing)
        return document

    def _meta(self, values: dict[bytes, str]) -> bytes:
        if b"charset" in values:
            return b'<meta charset="utf-8">'
        kind, content = values.get(b"http-equiv", "").strip().lower(), values.get(b"content", "")
        if kind == "content-type":
            return b'<meta http-equiv="Content-Type" content="text/html; charset=utf-8">'
        if kind == "default-style":
            return _tag(b"meta", {b"http-equiv": kind, b"content": content})
        if kind == "refresh" and self.refresh is None and (found := _REFRESH.match(content)):
            url = found["url"] or ""
            url = url.partition(found["quote"])[0] if found["quote"] else url
            self.refresh = Refresh(int((found["seconds"] or "0")[:9]), self._absolute(url))
        name = values.get(b"name", "").strip().lower()
        if not kind and name in _SHOWN_METAS:
            return _tag(b"meta", {b"name": name, b"content": content})
        return b""

    def _link(self, values: dict[bytes, str], end: bytes) -> bytes:
        relations = set(values.get(b"rel", "").lower().split())
        kept = {key: value for key, value in values.items() if key in _LINK_ATTRIBUTES}
        if "stylesheet" in relations:
            found = self._file(Use.STYLE, values.get(b"href", ""))
            kept[b"rel"] = "alternate stylesheet" if "alternate" in relations else "stylesheet"
        elif "icon" in relations:
            found = self._file(Use.IMAGE, values.get(b"href", ""))
            kept[b"rel"] = "icon"
        else:
            return b""
        if not found.address or found.missing:
            return b""
        return _tag(b"link", {**kept, b"href": found.address}, end)


def _put(found: dict[bytes, str], key: bytes, value: str) -> None:
    if value:
        found[key] = value


def _animates_address(name: str) -> bool:
    return name.strip().lower().rpartition(":")[2] in _ADDRESS_NAMES


def _fragment(text: str) -> str:
    _before, mark, fragment = text.strip().partition("#")
    return mark + quote(fragment, "!$&'()*+,-./:;=?@_~%") if fragment else ""


def _escaped_text(text: bytes) -> bytes:
    return text.replace(b"&", b"&amp;").replace(b"<", b"&lt;")


def _tag(name: bytes, values: dict[bytes, str], end: bytes = b">") -> bytes:
    """Write a start tag."""
    parts = [b"<", name]
    for key, value in values.items():
        parts += (b" ", key, b'="', escape(value, quote=True).encode("utf-8", "replace"), b'"')
    return b"".join([*parts, end])


def _is_program(tag: bytes) -> bool:
    """Whether a browser would run this script: it is no block of data, such as JSON."""
    kind = attribute_text(attributes(tag).get(b"type", b"")).strip().lower()
    return tag_name(tag) == b"script" and (not kind or kind == "module" or kind.endswith(("javascript", "ecmascript")))
