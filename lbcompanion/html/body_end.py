"""Where the bottom snippet goes: before the last real ``</body>``, else at the end of the document.

A real ``</body>`` is one that the tokenizer reads as a tag (HTML Standard, section 13.2.5), outside of templates, svg
and math. Two things are held back: an unfinished tag, and up to 16 KiB after a ``</body>`` that may be the last one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lbcompanion.html.tokenizer_patterns import ATTRIBUTES, BOGUS_COMMENT, EMPTY_END_TAG, RAW_TEXT, WS, any_case

#: A ``</body>`` further behind another one than this, in bytes, is not waited for.
MAX_HELD_BYTES = 16384

# An unfinished tag is read again with each further piece, so that its end is seen at once; a long one only a limited
# number of times. After that it is read when it has grown by a half, so that the total time stays linear.
_LONG_TAG_BYTES = 4096
_MAX_RESCANS = 16

_FOREIGN = (b"svg", b"math")
# Inside of foreign elements, HTML is read as such again in these (section 13.2.6, "integration point"). Which end tags
# count there depends on what HTML is open, so that is followed; whatever is not closed in order makes it unsure.
_INTEGRATION_POINTS = (b"foreignobject", b"desc", b"title", b"mi", b"mo", b"mn", b"ms", b"mtext")
# Elements of MathML that may or may not be read as HTML, or hold it.
_UNSURE = (b"annotation-xml", b"mglyph", b"malignmark")
# Elements of HTML that nothing closes (section 13.1.2, and those of old that the tree's rules treat alike).
_VOID = frozenset(
    b"area base basefont bgsound br col embed frame hr img input keygen link meta param source track wbr".split()
)
# Start tags that close all foreign elements around them (section 13.2.6.5).
_BREAKOUT = frozenset(
    b"b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta"
    b" nobr ol p pre ruby s small span strong strike sub sup table tt u ul var".split()
)
# End tags that do the same.
_BREAKOUT_ENDS = (b"p", b"br")
_TAG_END = rb"(?=[" + WS + rb"/>])"
_NAME_REST = rb"[^" + WS + rb"/>]*+"
_TRACKED = (*_FOREIGN, b"template", *_INTEGRATION_POINTS, *_UNSURE)


def _run(starts: Iterable[bytes], ends: Iterable[bytes]) -> re.Pattern[bytes]:
    """As many tokens as are of no interest, in one match that cannot fail; it stops at the tags that are named."""
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
_FOREIGN_RUN = _run((*_TRACKED, *_BREAKOUT), (b"body", *_TRACKED, *_BREAKOUT))
_XML_RUN = _run(_TRACKED, (b"body", *_TRACKED))
# Where HTML is read again, every tag counts.
_INTEGRATION_RUN = re.compile(
    rb"(?:[^<]++|(?!<!(?:--|\[CDATA\[))" + BOGUS_COMMENT + rb"|" + EMPTY_END_TAG + rb"|<(?![A-Za-z/!?]))*"
)
_TAG = re.compile(rb"<(/?[A-Za-z][^" + WS + rb"/>]*+)" + ATTRIBUTES + rb">")
_RAW_END = {name: re.compile(rb"(?i)</" + name + _TAG_END) for name in RAW_TEXT}
# A script in which a comment starts may hold a script (section 13.2.5.17 and on).
_SCRIPT_TOKEN = re.compile(
    rb"(?i)(?P<open><!--)|(?P<close>-->)|(?P<start><script" + _TAG_END + rb")|(?P<end></script" + _TAG_END + rb")"
)
_SHORT_COMMENT = re.compile(rb"<!---?>")
_SHORT_COMMENT_BYTES = 6
_BOGUS = re.compile(BOGUS_COMMENT)
_COMMENT_END = re.compile(rb"--!?>")
_XML_COMMENT_END = re.compile(rb"-->")
_CDATA_END = re.compile(rb"\]\]>")
# Longer than any token that ends a comment or raw text, with what tells it from a longer name.
_PARTIAL_BYTES = 12


class BodyEndInserter:
    """Forwards a page and inserts the bottom snippet.

    :param snippet: what to insert.
    :param xhtml: the page is read as XML.
    :ivar placed: whether the snippet was inserted.
    :ivar inserted_at: its offset in the page.
    """

    def __init__(self, snippet: bytes, xhtml: bool) -> None:
        self.placed = False
        self.inserted_at = 0
        self._passed_bytes = 0
        self._snippet = snippet
        self._xhtml = xhtml
        self._buffer = b""
        self._position = 0
        self._candidate = -1
        self._finished = False
        self._in_frameset = False
        self._stack: list[bytes] = []
        self._end_pattern: re.Pattern[bytes] | None = None
        self._script_depth = -1
        # A long tag that has not ended: what came since it was read last, where it begins, how often it was read.
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._tail_has_end = False
        self._long_tag_start = -1
        self._long_tag_rescans = 0

    def feed(self, chunk: bytes, at_end: bool = False) -> bytes:
        """Process the next piece of the page.

        :param at_end: whether it is the last one.
        :returns: the bytes to forward now.
        """
        if self._finished:
            return chunk
        if self._long_tag_start >= 0:
            self._tail.append(chunk)
            self._tail_bytes += len(chunk)
            self._tail_has_end = self._tail_has_end or b">" in chunk
            if not at_end and not (self._tail_has_end and self._should_rescan()):
                return b""
            chunk = self._join_tail()
        data = self._buffer + chunk if self._buffer else chunk
        finished = self._advance(data, at_end)
        self._track_long_tag(data)
        if self._candidate >= 0 and (at_end or finished or self._position - self._candidate > MAX_HELD_BYTES):
            return self._insert(data)
        if at_end:
            clean = self._position >= len(data) and not (self._stack or self._end_pattern or self._script_depth >= 0)
            self.placed = clean and not (self._in_frameset or self._xhtml or finished)
            self.inserted_at = self._passed_bytes + len(data)
            return data + self._snippet if self.placed else data
        passed = len(data) if finished else self._candidate if self._candidate >= 0 else self._position
        self._buffer = data[passed:]
        self._passed_bytes += passed
        self._position -= passed
        self._candidate = max(-1, self._candidate - passed)
        return data[:passed]

    def pending(self) -> bytes:
        """The bytes held back, for a page that was truncated."""
        return self._buffer + b"".join(self._tail)

    @property
    def unfinished_bytes(self) -> int:
        """The number of trailing bytes that belong to an unfinished tag; comments and raw text do not count."""
        return len(self._buffer) - self._position + self._tail_bytes

    @property
    def in_body_content(self) -> bool:
        """Whether the next tag would be read as a tag, outside of templates, svg, math and framesets."""
        nested = self._stack or self._end_pattern or self._script_depth >= 0
        return self._position == len(self._buffer) and not (nested or self._in_frameset or self._finished)

    def _should_rescan(self) -> bool:
        return self._long_tag_rescans < _MAX_RESCANS or 2 * self._tail_bytes > len(self._buffer)

    def _join_tail(self) -> bytes:
        tail = b"".join(self._tail)
        self._tail = []
        self._tail_bytes = 0
        self._tail_has_end = False
        return tail

    def _track_long_tag(self, data: bytes) -> None:
        """Count how often reading has stopped at the same long unfinished tag."""
        if (
            len(data) - self._position < _LONG_TAG_BYTES
            or self._finished
            or self._end_pattern
            or self._script_depth >= 0
        ):
            self._long_tag_start = -1
            return
        tag_start = self._passed_bytes + self._position
        self._long_tag_rescans = self._long_tag_rescans + 1 if tag_start == self._long_tag_start else 0
        self._long_tag_start = tag_start

    def _insert(self, data: bytes) -> bytes:
        self.placed = self._finished = True
        self.inserted_at = self._passed_bytes + self._candidate
        self._buffer = b""
        return data[: self._candidate] + self._snippet + data[self._candidate :]

    def _advance(self, data: bytes, at_end: bool) -> bool:
        """Read as far as the input allows; returns whether nothing more needs to be read."""
        # A token is recognised when it is complete; a single "<" needs one more byte.
        limit = len(data) if at_end or not data.endswith(b"<") else len(data) - 1
        previous: tuple[int, object, int] | None = None
        current = (self._position, self._end_pattern, self._script_depth)
        while current != previous and not self._finished:
            previous = current
            if self._script_depth >= 0:
                self._read_script(data, at_end)
            elif self._end_pattern is not None:
                self._read_to_end_pattern(self._end_pattern, data, at_end)
            elif self._position < limit:
                run = self._run().match(data, self._position, limit)
                self._position = run.end() if run else self._position
                if self._position < limit:
                    self._read_token(data, at_end)
            current = (self._position, self._end_pattern, self._script_depth)
        return self._finished

    def _run(self) -> re.Pattern[bytes]:
        if self._xhtml:
            return _XML_RUN
        if not self._stack:
            return _PLAIN_RUN
        if self._in_foreign():
            return _FOREIGN_RUN
        return _INTEGRATION_RUN if self._in_integration_point() else _NESTED_RUN

    def _in_integration_point(self) -> bool:
        """Whether the innermost element is at an integration point, so that HTML elements are on the stack too."""
        return bool(self._stack) and not self._xhtml and self._stack[-1] not in (*_FOREIGN, b"template")

    def _in_foreign(self) -> bool:
        return bool(self._stack) and self._stack[-1] in _FOREIGN

    def _read_token(self, data: bytes, at_end: bool) -> None:
        """Read the token at which a run stopped, if it is complete."""
        tag_start = self._position
        if data.startswith(b"<!--", tag_start):
            if not self._xhtml and (short := _SHORT_COMMENT.match(data, tag_start)):
                self._position = short.end()
                return
            if len(data) - tag_start < _SHORT_COMMENT_BYTES and not at_end:
                return
            self._position = tag_start + 4
            self._end_pattern = _XML_COMMENT_END if self._xhtml else _COMMENT_END
        elif data.startswith(b"<![CDATA[", tag_start) and (self._xhtml or self._in_foreign()):
            self._position = tag_start + 9
            self._end_pattern = _CDATA_END
        elif tag := (_TAG.match(data, tag_start) or _BOGUS.match(data, tag_start)):
            self._position = tag.end()
            if tag.lastindex:
                self._handle_tag(tag.group(1).lower(), tag_start, data[tag.end() - 2] == 0x2F)

    def _handle_tag(self, name: bytes, tag_start: int, closed: bool) -> None:
        foreign = self._in_foreign()
        if name == b"/body":
            self._handle_body_end(tag_start)
        elif name in _UNSURE and self._stack and not self._xhtml:
            self._finished = True
        elif foreign and not self._xhtml and (name in _BREAKOUT or (name[1:] in _BREAKOUT_ENDS and name[:1] == b"/")):
            while self._in_foreign():
                self._stack.pop()
            self._push_html_element(name)
        elif foreign and not self._xhtml and name[:1] == b"/" and name[1:] in _BREAKOUT:
            # It closes all of it where such an element is open outside, and nothing where none is (section 13.2.6.5,
            # "any other end tag"): what is open outside is not known here.
            self._finished = True
        elif name.startswith(b"/"):
            self._handle_end_tag(name[1:])
        elif name in _FOREIGN or name == b"template":
            if not (closed and (name in _FOREIGN or self._xhtml)):
                self._stack.append(name)
        elif name in _INTEGRATION_POINTS and foreign:
            if not closed:
                self._stack.append(name)
        elif not self._xhtml:
            self._handle_text_element(name)
            self._push_html_element(name)

    def _push_html_element(self, name: bytes) -> None:
        """Push an element of HTML within an integration point."""
        if not self._in_integration_point() or name in _VOID or name.startswith(b"/"):
            return
        if name in _INTEGRATION_POINTS and name not in _RAW_END:
            # One of HTML with the name of svg's or math's: not worth telling apart.
            self._finished = True
        self._stack.append(name)

    def _handle_text_element(self, name: bytes) -> None:
        if name == b"script":
            self._script_depth = 0
        elif name in _RAW_END:
            self._end_pattern = _RAW_END[name]
        elif name == b"plaintext":
            self._finished = True
        elif name == b"frameset":
            self._in_frameset = True

    def _handle_body_end(self, tag_start: int) -> None:
        if self._stack or self._in_frameset:
            return
        if self._candidate >= 0 and tag_start - self._candidate > MAX_HELD_BYTES:
            self._finished = True
        else:
            self._candidate = tag_start

    def _handle_end_tag(self, name: bytes) -> None:
        in_integration_point = self._in_integration_point()
        for index in range(len(self._stack) - 1, -1, -1):
            open_element = self._stack[index]
            if open_element == name:
                del self._stack[index:]
                return
            # What is opened outside of a template is not closed inside of it (section 13.2.6.4.7, "special").
            if open_element == b"template" and not self._xhtml:
                return
            if open_element not in _TRACKED and name != b"template":
                # An open element of HTML: it is closed out of order, or this closes nothing (section 13.2.6.4.7).
                self._finished = name in self._stack
                return
        if in_integration_point and self._stack[-1] in _INTEGRATION_POINTS and name not in _BREAKOUT_ENDS:
            # It may close an element of svg or math around it, which is not followed (section 13.2.6.5).
            self._finished = True

    def _read_to_end_pattern(self, end: re.Pattern[bytes], data: bytes, at_end: bool) -> None:
        found = end.search(data, self._position)
        if found is None:
            self._position = len(data) if at_end else max(self._position, len(data) - _PARTIAL_BYTES)
            return
        self._end_pattern = None
        # A raw text's end tag is read as a tag; the ends of comments and CDATA are done with.
        self._position = found.start() if found.group().startswith(b"<") else found.end()

    def _read_script(self, data: bytes, at_end: bool) -> None:
        token = _SCRIPT_TOKEN.search(data, self._position)
        if token is None:
            self._position = len(data) if at_end else max(self._position, len(data) - _PARTIAL_BYTES)
            return
        kind = token.lastgroup
        self._position = token.end()
        if kind == "open":
            # Its dashes may be those of the end: "<!-->" opens and closes.
            self._position -= 2
            self._script_depth = max(self._script_depth, 1)
        elif kind == "close":
            self._script_depth = 0
        elif kind == "start":
            self._script_depth = 2 if self._script_depth else 0
        elif self._script_depth == 2:
            self._script_depth = 1
        else:
            self._position = token.start()
            self._script_depth = -1
