"""Reads a page's tokens piece by piece, and tracks open raw text, templates, svg and math.

The tokens are those of the HTML Standard, section 13.2.5. Of the tree (section 13.2.6) only as much is followed as is
needed to know how a token is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lbcompanion.html.elements import BREAKOUT, HTML_ONLY, VOID, as_bytes
from lbcompanion.html.tokenizer_patterns import (
    ATTRIBUTES,
    BOGUS_COMMENT,
    EMPTY_END_TAG,
    RAW_TEXT,
    WS,
    any_case,
    raw_text_ends,
)

_FOREIGN = (b"svg", b"math")
# Inside of foreign elements, HTML is read as such again in these (section 13.2.6, "integration point"). Which end tags
# count there depends on the open elements of HTML, so these are followed. An element that is not closed in order
# stops the reader.
_POINTS_BY_ROOT = {b"svg": (b"foreignobject", b"desc", b"title"), b"math": (b"mi", b"mo", b"mn", b"ms", b"mtext")}
_INTEGRATION_POINTS = (*_POINTS_BY_ROOT[b"svg"], *_POINTS_BY_ROOT[b"math"])
# Elements of MathML that may or may not be read as HTML, or hold it.
_UNSURE = (b"annotation-xml", b"mglyph", b"malignmark")
_VOID, _BREAKOUT = as_bytes(VOID), as_bytes(BREAKOUT)
# End tags that close them, too.
_BREAKOUT_ENDS = (b"p", b"br")
# Elements of HTML that svg and math do not have. An end tag of one within svg or math closes all of it where such an
# element is open outside, and nothing where none is (section 13.2.6.5, "any other end tag").
_OUTSIDE = _BREAKOUT | as_bytes(HTML_ONLY)
_TAG_END = rb"(?=[" + WS + rb"/>])"
_NAME_REST = rb"[^" + WS + rb"/>]*+"
_TRACKED = (*_FOREIGN, b"template", *_INTEGRATION_POINTS, *_UNSURE)


def _run(starts: Iterable[bytes], ends: Iterable[bytes]) -> re.Pattern[bytes]:
    """A pattern that matches any number of irrelevant tokens, and stops at the named tags. It never fails to match."""
    start = rb"(?!(?:" + any_case(*starts) + rb")" + _TAG_END + rb")[A-Za-z]" + _NAME_REST + ATTRIBUTES + rb">"
    end = (
        rb"/(?!(?:" + any_case(*ends) + rb")" + _TAG_END + rb")[A-Za-z]" + _NAME_REST + rb"(?:>|" + ATTRIBUTES + rb">)"
    )
    bogus = rb"(?!<!(?:--|\[CDATA\[))" + BOGUS_COMMENT
    return re.compile(
        rb"(?:[^<]++|<(?:" + start + rb"|" + end + rb")|" + bogus + rb"|" + EMPTY_END_TAG + rb"|<(?![A-Za-z/!?]))*"
    )


# Outside of all that is nested, inside of a template or where HTML is read again, directly inside of svg or math.
_PLAIN_RUN = _run((*RAW_TEXT, *_FOREIGN, b"template", b"plaintext", b"frameset"), (b"body",))
_NESTED_RUN = _run((*RAW_TEXT, *_TRACKED, b"plaintext", b"frameset"), (b"body", *_TRACKED))
_FOREIGN_RUN = _run((*_TRACKED, *_BREAKOUT), (b"body", *_TRACKED, *_OUTSIDE))
# Where svg and math may be closed or not: what is read alike in both cases.
_UNCERTAIN_RUN = _run(
    (*_TRACKED, *_BREAKOUT, *RAW_TEXT, b"plaintext", b"frameset"), (b"body", *_TRACKED, *_BREAKOUT_ENDS)
)
_XML_RUN = _run(_TRACKED, (b"body", *_TRACKED))
# Where HTML is read again, every tag counts.
_INTEGRATION_RUN = re.compile(
    rb"(?:[^<]++|(?!<!(?:--|\[CDATA\[))" + BOGUS_COMMENT + rb"|" + EMPTY_END_TAG + rb"|<(?![A-Za-z/!?]))*"
)
_TAG = re.compile(rb"<(/?[A-Za-z][^" + WS + rb"/>]*+)" + ATTRIBUTES + rb">")
_RAW_END = raw_text_ends(*RAW_TEXT)
# A script in which a comment starts may hold a script (section 13.2.5.17 and on).
_SCRIPT_TOKEN = re.compile(
    rb"(?i)(?P<open><!--)|(?P<close>-->)|(?P<start><script" + _TAG_END + rb")|(?P<end></script" + _TAG_END + rb")"
)
_SHORT_COMMENT = re.compile(rb"<!---?>")
_SHORT_COMMENT_BYTES = 6
_BOGUS = re.compile(BOGUS_COMMENT)
_COMMENT_END = re.compile(rb"--!?>")
_XML_COMMENT_END = re.compile(rb"-->")
_PI_END = re.compile(rb"\?>")
_CDATA_END = re.compile(rb"\]\]>")
# Longer than any token that ends a comment or raw text, with the byte after it.
_PARTIAL_BYTES = 12


class MarkupReader:
    """Reads the tokens of a page.

    Subclasses handle the tags outside of all that is nested.

    :param xhtml: the page is read as XML.
    :ivar position: how far the current input is read.
    :ivar stopped: whether nothing more is read: the rest is of no interest, or needs the whole tree.
    """

    # Class-level defaults: most pages need few of them, and each page has two readers.
    position = 0
    stopped = False
    _in_frameset = False
    # Whether the svg and math elements on the top of the stack are perhaps closed, all of them.
    _may_be_closed = False
    _end_pattern: re.Pattern[bytes] | None = None
    _script_depth = -1

    def __init__(self, xhtml: bool) -> None:
        self._xhtml = xhtml
        self._stack: list[bytes] = []

    @property
    def in_text(self) -> bool:
        """Whether the input stops within a comment, a CDATA section or raw text: what is read need not be kept."""
        return self._end_pattern is not None or self._script_depth >= 0

    @property
    def is_nested(self) -> bool:
        """Whether the next token belongs to raw text, a comment, a template, svg or math."""
        return bool(self._stack) or self.in_text

    def read(self, data: bytes, at_end: bool) -> None:
        """Read on from :attr:`position` as far as the input allows."""
        # A token is recognised when it is complete; a single "<" needs one more byte.
        limit = len(data) if at_end or not data.endswith(b"<") else len(data) - 1
        previous: tuple[int, object, int] | None = None
        current = (self.position, self._end_pattern, self._script_depth)
        while current != previous and not self.stopped:
            previous = current
            if self._script_depth >= 0:
                self._read_script(data, at_end)
            elif self._end_pattern is not None:
                self._read_to_end_pattern(self._end_pattern, data, at_end)
            elif self.position < limit:
                run = self._run().match(data, self.position, limit)
                self.position = run.end() if run else self.position
                if self.position < limit:
                    self._read_token(data, at_end)
            current = (self.position, self._end_pattern, self._script_depth)

    def _run(self) -> re.Pattern[bytes]:
        """The pattern of the tokens that are of no interest here."""
        if self._xhtml:
            return _XML_RUN
        if not self._stack:
            return _PLAIN_RUN
        if self._in_foreign():
            return _UNCERTAIN_RUN if self._may_be_closed else _FOREIGN_RUN
        return _INTEGRATION_RUN if self._in_integration_point() else _NESTED_RUN

    def _in_integration_point(self) -> bool:
        """Whether the innermost element is at an integration point, so that HTML elements are on the stack too."""
        return bool(self._stack) and not self._xhtml and self._stack[-1] not in (*_FOREIGN, b"template")

    def _in_foreign(self) -> bool:
        return bool(self._stack) and self._stack[-1] in _FOREIGN

    def _read_token(self, data: bytes, at_end: bool) -> None:
        """Read the token at which a run stopped, if it is complete."""
        tag_start = self.position
        if data.startswith(b"<!--", tag_start):
            if not self._xhtml and (short := _SHORT_COMMENT.match(data, tag_start)):
                self.position = short.end()
                return
            if len(data) - tag_start < _SHORT_COMMENT_BYTES and not at_end:
                return
            self.position = tag_start + 4
            self._end_pattern = _XML_COMMENT_END if self._xhtml else _COMMENT_END
        elif data.startswith(b"<![CDATA[", tag_start) and (self._xhtml or self._in_foreign()):
            self.stopped = self._may_be_closed
            self.position = tag_start + 9
            self._end_pattern = _CDATA_END
        elif self._xhtml and data.startswith(b"<?", tag_start):
            self.position = tag_start + 2
            self._end_pattern = _PI_END
        elif tag := (_TAG.match(data, tag_start) or _BOGUS.match(data, tag_start)):
            self.position = tag.end()
            if tag.lastindex:
                self._handle_tag(tag.group(1).lower(), tag_start, data[tag.end() - 2] == 0x2F)

    def _handle_tag(self, name: bytes, tag_start: int, closed: bool) -> None:
        if name == b"/body":
            self._handle_body_end(tag_start)
        elif name in _UNSURE and self._stack and not self._xhtml:
            self.stopped = True
        elif self._in_foreign() and not self._xhtml and self._handle_foreign_tag(name, closed):
            return
        elif name.startswith(b"/"):
            self._handle_end_tag(name[1:])
        elif name in _FOREIGN or name == b"template":
            if not (closed and (name in _FOREIGN or self._xhtml)):
                self._stack.append(name)
        elif name in _INTEGRATION_POINTS and self._in_foreign():
            if not closed:
                self._stack.append(name)
        elif not self._xhtml:
            self._handle_text_element(name)
            self._push_html_element(name)

    def _handle_foreign_tag(self, name: bytes, closed: bool) -> bool:
        """Handle a tag that has another meaning directly within svg or math; returns whether it is one."""
        if self._may_be_closed:
            self._handle_uncertain_tag(name)
        elif name in _BREAKOUT or (name[1:] in _BREAKOUT_ENDS and name[:1] == b"/"):
            while self._in_foreign():
                self._stack.pop()
            self._push_html_element(name)
        elif name[:1] == b"/" and name[1:] in _OUTSIDE:
            self._handle_outside_end()
        elif name in self._ordinary_names():
            # It is no template and no integration point here, but its end tag closes elements that are open in it.
            self.stopped = not closed
        else:
            return False
        return True

    def _ordinary_names(self) -> tuple[bytes, ...]:
        """Names of elements that have a meaning elsewhere, but not in the svg or math element that is open."""
        depth = 1
        while depth < len(self._stack) and self._stack[-depth - 1] in _FOREIGN:
            depth += 1
        # A math element within svg is one of svg's, and the other way round.
        root = self._stack[-depth]
        return (b"template", *_POINTS_BY_ROOT[b"math" if root == b"svg" else b"svg"])

    def _handle_outside_end(self) -> None:
        """Read on for both cases after an end tag that may have closed all of svg and math."""
        outer = next((name for name in reversed(self._stack) if name not in _FOREIGN), b"template")
        # The elements of HTML at an integration point decide it; they are not followed for this.
        self.stopped = outer != b"template"
        self._may_be_closed = not self.stopped

    def _handle_uncertain_tag(self, name: bytes) -> None:
        """Handle a tag that is read alike whether svg and math are closed or not; stop at any other."""
        if name in _BREAKOUT or (name[1:] in _BREAKOUT_ENDS and name[:1] == b"/"):
            while self._in_foreign():
                self._stack.pop()
        elif name.startswith(b"/"):
            # Where all is closed already, it closes nothing.
            self._handle_end_tag(name[1:])
        else:
            self.stopped = True
        self._may_be_closed = self._in_foreign()

    def _push_html_element(self, name: bytes) -> None:
        """Push an element of HTML within an integration point."""
        if not self._in_integration_point() or name in _VOID or name.startswith(b"/"):
            return
        if name in _INTEGRATION_POINTS and name not in _RAW_END:
            # An HTML element with the name of a svg or math element. The difference does not matter here.
            self.stopped = True
        self._stack.append(name)

    def _handle_text_element(self, name: bytes) -> None:
        if name == b"script":
            self._script_depth = 0
        elif name in _RAW_END:
            self._end_pattern = _RAW_END[name]
        elif name == b"plaintext":
            self.stopped = True
        elif name == b"frameset":
            self._in_frameset = True

    def _handle_body_end(self, tag_start: int) -> None:
        """Take in a ``</body>`` tag."""

    def _handle_end_tag(self, name: bytes) -> None:
        in_integration_point = self._in_integration_point()
        for index in range(len(self._stack) - 1, -1, -1):
            open_element = self._stack[index]
            if open_element == name:
                del self._stack[index:]
                return
            # An end tag in a template closes no element outside of it (section 13.2.6.4.7, "special").
            if open_element == b"template" and not self._xhtml:
                return
            if open_element not in _TRACKED and name != b"template":
                # An open element of HTML: it is closed out of order, or this closes nothing (section 13.2.6.4.7).
                self.stopped = name in self._stack
                return
        if in_integration_point and self._stack[-1] in _INTEGRATION_POINTS and name not in _BREAKOUT_ENDS:
            # It may close an element of svg or math around it, which is not followed (section 13.2.6.5).
            self.stopped = True

    def _read_to_end_pattern(self, end: re.Pattern[bytes], data: bytes, at_end: bool) -> None:
        found = end.search(data, self.position)
        if found is None:
            self.position = len(data) if at_end else max(self.position, len(data) - _PARTIAL_BYTES)
            return
        self._end_pattern = None
        # The end tag of raw text is read as a tag. The ends of comments and CDATA are already read.
        self.position = found.start() if found.group().startswith(b"<") else found.end()

    def _read_script(self, data: bytes, at_end: bool) -> None:
        token = _SCRIPT_TOKEN.search(data, self.position)
        if token is None:
            self.position = len(data) if at_end else max(self.position, len(data) - _PARTIAL_BYTES)
            return
        kind = token.lastgroup
        self.position = token.end()
        if kind == "open":
            # Its dashes may be those of the end: "<!-->" opens and closes.
            self.position -= 2
            self._script_depth = max(self._script_depth, 1)
        elif kind == "close":
            self._script_depth = 0
        elif kind == "start":
            self._script_depth = 2 if self._script_depth else 0
        elif self._script_depth == 2:
            self._script_depth = 1
        else:
            self.position = token.start()
            self._script_depth = -1
