"""Decides whether browsers let an end tag close the element that it names (HTML Standard, section 13.2.6.4.7).

A browser ignores an end tag, or moves elements, where elements inside of the one to be closed are still open. The
rules need the whole tree; here it is only decided whether they could make a difference.
"""

from __future__ import annotations

import re
from collections import Counter

from lbcompanion.html.elements import BREAKOUT, VOID
from lbcompanion.html.tokenizer_patterns import (
    ATTRIBUTES,
    BOGUS_COMMENT,
    COMMENT,
    EMPTY_END_TAG,
    RAW_TEXT,
    WS,
    attributes,
    raw_text_ends,
)


def names(text: str) -> frozenset[str]:
    """A set of names, written with spaces between them."""
    return frozenset(text.split())


FORMATTING = names("a b big code em font i nobr s small strike strong tt u")
_TABLE_PARTS = names("caption colgroup table tbody td tfoot th thead tr")
# Elements whose end tag may be left out.
_OPTIONAL_END = names("dd dt li optgroup option p")
_SPECIAL = names(
    "address annotation-xml applet article aside blockquote body button center desc details dir div dl"
    " fieldset figcaption figure footer foreignobject form frameset h1 h2 h3 h4 h5 h6 head header hgroup"
    " html iframe listing main marquee menu mi mn mo ms mtext nav noembed noframes noscript object ol"
    " plaintext pre script search section select style summary template textarea title ul xmp"
)
_ANY_SPECIAL = _SPECIAL | _TABLE_PARTS | _OPTIONAL_END
# Elements that hide the elements around them from end tags.
_BARRIERS = names(
    "annotation-xml applet caption desc foreignobject html marquee mi mn mo ms mtext object table td template th title"
)
#: For each element, the other elements whose end tags may close it.
OPTIONAL_PARENTS = {
    "li": frozenset(("ul", "ol", "menu", "dir")),
    "dt": frozenset(("dl",)),
    "dd": frozenset(("dl",)),
    "option": frozenset(("select", "optgroup", "datalist")),
    "optgroup": frozenset(("select",)),
    **dict.fromkeys(("td", "th"), frozenset(("tr", "tbody", "thead", "tfoot", "table"))),
    "tr": frozenset(("tbody", "thead", "tfoot", "table")),
    **dict.fromkeys(("tbody", "thead", "tfoot", "caption", "colgroup"), frozenset(("table",))),
}

_TOKEN = re.compile(
    COMMENT
    + rb"|"
    + EMPTY_END_TAG
    + rb"|"
    + BOGUS_COMMENT
    + rb"|<(/?)([A-Za-z][^"
    + WS
    + rb"/>]*+)"
    + ATTRIBUTES
    + rb">"
)
_TOKEN_START = re.compile(rb"<[A-Za-z/!?]")
_RAW_END = {name.decode(): pattern for name, pattern in raw_text_ends(*RAW_TEXT).items()}

_FOREIGN = names("svg math")
_CDATA = b"<![CDATA["
# End tags that end foreign content, as the start tags in BREAKOUT do.
_LEAVE_FOREIGN = names("p br")
# A start tag of font with one of these attributes does so too.
_LEAVING_FONT = frozenset({b"color", b"face", b"size"})
# Elements of svg and math within which HTML is read.
_INTEGRATION_POINTS = {"svg": names("foreignobject desc title"), "math": names("mi mo mn ms mtext annotation-xml")}
_ALL_INTEGRATION_POINTS = frozenset().union(*_INTEGRATION_POINTS.values())
#: Deeper nesting of svg, math and integration points is not followed: an end tag is searched for in each.
_MAX_LEVELS = 32
# An annotation-xml of MathML is no integration point.
_HTML_ENCODING = re.compile(rb"html|&", re.IGNORECASE)
# The end of a page behind the end tag of an integration point which browsers ignore: they stay in its HTML, and the
# rewriter leaves svg or math at once.
_END_IN_HTML = re.compile(
    rb"[^<]*+</(?:svg|math)[" + WS + rb"]*+>(?!.*<(?:!\[CDATA\[|"
    rb"/?(?:svg|math|foreignobject|desc|title|annotation-xml|m[inos]|mtext)[" + WS + rb"/>]))",
    re.IGNORECASE | re.DOTALL,
)
_UNCERTAIN_IN_MATH = names("mglyph malignmark plaintext select template") | frozenset(_RAW_END)


class _Tags:
    """The tags of a piece of HTML, one by one; contents of raw text elements can be passed over."""

    def __init__(self, html: bytes) -> None:
        self._html = html
        self._position = 0
        self._start = 0
        self.name = ""
        self.closes = False
        # Whether a CDATA section with a ">" was passed that was not read as such.
        self.passed_cdata = False

    def next(self, *, in_foreign: bool = False) -> bool:
        """Go to the next tag; returns whether there is one. An unterminated tag hides the rest of the page.

        :param in_foreign: whether the place is within svg or math, where CDATA sections are read.
        """
        self.passed_cdata = False
        while start := _TOKEN_START.search(self._html, self._position):
            if in_foreign and self._html.startswith(_CDATA, start.start()):
                end = self._html.find(b"]]>", start.start())
                if end < 0:
                    return False
                self._position = end + 3
                continue
            token = _TOKEN.match(self._html, start.start())
            if token is None:
                return False
            self._position = token.end()
            self.passed_cdata |= token[0].startswith(_CDATA) and not token[0].endswith(b"]]>")
            if token.group(2):
                self._start = token.start()
                self.name = token.group(2).decode("latin-1").lower()
                self.closes = bool(token.group(1))
                return True
        return False

    def closes_itself(self) -> bool:
        """Whether the tag ends with a slash that is certainly not a part of a value."""
        return self._html[self._position - 2 : self._position - 1] == b"/" and (
            self._html[self._position - 3 : self._position - 2] in (b'"', b"'", b" ", b"\n")
        )

    def has_last_slash(self) -> bool:
        """Whether the tag ends with a slash, which may be a part of a value."""
        return self._html[self._position - 2 : self._position - 1] == b"/"

    @property
    def text(self) -> bytes:
        """The tag."""
        return self._html[self._start : self._position]

    @property
    def end(self) -> int:
        """The offset behind the tag."""
        return self._position

    def ends_before(self, position: int) -> bool:
        """Whether the tag ends before this position."""
        return self._position <= position

    def skip_raw_text(self) -> None:
        """Go to the end tag of a raw text element."""
        end = _RAW_END[self.name].search(self._html, self._position)
        self._position = end.start() if end else len(self._html)


def closes_in_order(name: str, content: bytes) -> bool:
    """Whether the end tag behind this content closes the element for browsers too.

    :param name: the element's, in lower case.
    :param content: what stands between its tags.
    """
    if name in _RAW_END:
        return True
    open_elements: list[str] = []
    counts: Counter[str] = Counter()
    tags = _Tags(content)
    while tags.next():
        tag = tags.name
        if tag in VOID:
            continue
        if not tags.closes:
            if tag in _RAW_END:
                tags.skip_raw_text()
            open_elements.append(tag)
            counts[tag] += 1
        elif counts[tag] and not _may_be_open(tag, _pop_to(tag, open_elements, counts), strict=False):
            return False
    return _may_be_open(name, frozenset(open_elements), strict=True)


def _pop_to(tag: str, open_elements: list[str], counts: Counter[str]) -> frozenset[str]:
    closed = set()
    while (other := open_elements.pop()) != tag:
        closed.add(other)
        counts[other] -= 1
    counts[tag] -= 1
    return frozenset(closed)


def _may_be_open(name: str, inside: frozenset[str], *, strict: bool) -> bool:
    """Whether an end tag of this name closes its element although these are open inside of it."""
    special = inside & _ANY_SPECIAL
    if name == "form":
        return inside <= _OPTIONAL_END
    if not special:
        return True
    if name in FORMATTING:
        return not (special if strict else special & _BARRIERS)
    if name in _TABLE_PARTS:
        return special <= _TABLE_PARTS - {"table"} | _OPTIONAL_END
    return name in _ANY_SPECIAL and special <= _OPTIONAL_END


def foreign_content_is_certain(html: bytes) -> bool:
    """Whether the rewriter and browsers agree on which tags are read within and behind ``svg`` and ``math``.

    The rewriter takes ``<svg/>`` for the beginning of foreign content up to an element that ends such: it reads CDATA
    sections there, and no raw text. It takes ``svg``, ``mglyph`` and the elements of raw text within ``math`` for
    those of SVG and HTML, and browsers do not in all places.
    """
    last_cdata = html.rfind(b"<![CDATA[")
    in_math = closed_at_once = False
    tags = _Tags(html)
    while tags.next():
        if tags.name in _FOREIGN:
            if in_math and tags.name == "svg" and not tags.closes:
                return False
            in_math = tags.name == "math" and not tags.closes
            closed_at_once = not tags.closes and tags.has_last_slash()
            if closed_at_once and tags.ends_before(last_cdata):
                return False
        if tags.closes:
            continue
        if (in_math and tags.name in _UNCERTAIN_IN_MATH) or (closed_at_once and tags.name in _RAW_END):
            return False
        if tags.name in BREAKOUT:
            closed_at_once = False
        if tags.name in _RAW_END:
            tags.skip_raw_text()
    return True


def foreign_content_is_left_together(html: bytes) -> bool:
    """Whether the rewriter and browsers leave svg and math at the same places, as far as it matters.

    An end tag within svg closes an element around the svg too, if it is open there: behind
    ``<span><svg><svg></svg></span>`` a browser is out of both svg, and the rewriter is still in one. That matters if
    another tag or a CDATA section follows before the rewriter leaves the svg too. Where an end tag skips elements that
    the rewriter knows, or a tag leaves several svg at once, the two are taken to be apart.
    """
    return _LeavingForeign(html).is_together()


class _Level:
    """An open svg, math or integration point, and the open elements directly within it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.opened: list[str] = []
        self.counts: Counter[str] = Counter()

    def open(self, tag: str) -> None:
        self.opened.append(tag)
        self.counts[tag] += 1

    def has(self, tag: str) -> bool:
        return tag == self.name or self.counts[tag] > 0


class _LeavingForeign:
    """Reads a page for :func:`foreign_content_is_left_together`."""

    def __init__(self, html: bytes) -> None:
        self._html = html
        self._tags = _Tags(html)
        # Open elements outside of svg and math.
        self._outside: Counter[str] = Counter()
        # Innermost last.
        self._levels: list[_Level] = []
        # The offset behind the tag at which perhaps only a browser left; -1 if there is none.
        self._left_at = -1

    def is_together(self) -> bool:
        while self._next():
            if self._browsers_read_more_cdata():
                return False
            if not self._levels:
                self._read_outside()
            elif not self._read_inside():
                return False
        if self._browsers_read_more_cdata():
            return False
        return self._left_at < 0 or self._html.find(_CDATA, self._left_at) < 0

    def _next(self) -> bool:
        return self._tags.next(in_foreign=bool(self._levels) and not self._is_in_html())

    def _browsers_read_more_cdata(self) -> bool:
        """Whether a CDATA section was passed that ends elsewhere for browsers: they read it in an integration point."""
        return bool(self._levels) and self._tags.passed_cdata

    def _read_outside(self) -> None:
        tags, tag = self._tags, self._tags.name
        if tag in _FOREIGN:
            if not (tags.closes or tags.has_last_slash()):
                self._levels.append(_Level(tag))
        elif tags.closes:
            self._outside[tag] -= self._outside[tag] > 0
        elif tag in _RAW_END:
            tags.skip_raw_text()
        elif tag not in VOID:
            self._outside[tag] += 1

    def _read_inside(self) -> bool:
        """Read a tag within svg or math; returns False where the readers are apart."""
        tags, tag = self._tags, self._tags.name
        if not self._is_in_html() and self._breaks_out():
            return self._break_out()
        if tags.closes:
            return self._close(tag) and (bool(self._levels) or self._leave())
        return self._left_at < 0 and self._open(tag)

    def _is_in_html(self) -> bool:
        return self._levels[-1].name not in _FOREIGN

    def _breaks_out(self) -> bool:
        tags, tag = self._tags, self._tags.name
        if tags.closes:
            return tag in _LEAVE_FOREIGN
        return tag in BREAKOUT or (tag == "font" and not _LEAVING_FONT.isdisjoint(attributes(tags.text)))

    def _break_out(self) -> bool:
        """Browsers leave all svg and math up to the next HTML, and the rewriter leaves one."""
        self._levels.pop()
        if self._levels:
            return self._is_in_html() and self._open_in_html()
        self._outside[self._tags.name] += not self._tags.closes and self._tags.name not in VOID
        return self._leave()

    def _open(self, tag: str) -> bool:
        tags = self._tags
        if self._is_in_html() and tag not in _FOREIGN:
            return self._open_in_html()
        if tags.has_last_slash():
            return True
        if tag in _FOREIGN or self._is_integration_point(tag):
            self._levels.append(_Level(tag))
            return len(self._levels) <= _MAX_LEVELS
        if tag not in VOID:
            self._levels[-1].open(tag)
        return True

    def _is_integration_point(self, tag: str) -> bool:
        if tag not in _INTEGRATION_POINTS[self._levels[-1].name]:
            return False
        return tag != "annotation-xml" or _HTML_ENCODING.search(self._tags.text) is not None

    def _open_in_html(self) -> bool:
        tag, level = self._tags.name, self._levels[-1]
        if self._tags.closes or tag in VOID:
            return True
        if tag in _ALL_INTEGRATION_POINTS:
            # The rewriter takes its end tag for that of the integration point.
            return False
        if tag in _RAW_END:
            self._tags.skip_raw_text()
        if level.opened[-1:] != [tag] or tag not in _OPTIONAL_END:
            level.open(tag)
        return True

    def _close(self, tag: str) -> bool:
        level = self._levels[-1]
        if level.counts[tag]:
            _pop_to(tag, level.opened, level.counts)
        elif tag == level.name:
            is_ignored = level.opened and self._is_in_html()
            self._levels.pop()
            if is_ignored:
                return len(self._levels) == 1 and _END_IN_HTML.match(self._html, self._tags.end) is not None
        elif any(outer.has(tag) for outer in self._levels):
            return False
        elif self._outside[tag] and self._left_at < 0 and all(outer.name in _FOREIGN for outer in self._levels):
            self._left_at = self._tags.end
        return True

    def _leave(self) -> bool:
        """Both readers are outside now; returns whether no CDATA section stands between their places."""
        left_at, self._left_at = self._left_at, -1
        return left_at < 0 or self._html.find(_CDATA, left_at, self._tags.end) < 0


def worst_search_steps(body: bytes) -> int:
    """The largest number of open elements that are compared with the end tags of a page."""
    open_elements: list[str] = []
    counts: Counter[str] = Counter()
    steps = 0
    tags = _Tags(body)
    while tags.next():
        tag = tags.name
        foreign = counts["svg"] or counts["math"]
        if tags.closes:
            if counts[tag]:
                _pop_to(tag, open_elements, counts)
            else:
                steps += len(open_elements)
        elif foreign and tags.closes_itself():
            continue
        elif tag in _RAW_END and not foreign:
            tags.skip_raw_text()
        elif tag not in VOID or foreign:
            open_elements.append(tag)
            counts[tag] += 1
    return steps
