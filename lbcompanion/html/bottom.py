"""Where the bottom snippet goes: before the last real ``</body>``, else at the end of the document.

"Real" is one that is read as a tag (HTML Standard, section 13.2.5), and neither in a template nor in svg or math. What
is held back: a tag that has not ended yet, and what follows a ``</body>`` that may be the last, 16 KiB of it at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lbcompanion.html.markup import ATTRIBUTES, BOGUS_COMMENT, NOTHING, RAW_TEXT, WS, any_case

#: A ``</body>`` further behind another one than this, in bytes, is not waited for.
MAX_HELD_BYTES = 16384

# A tag that does not end is read anew with each further piece, so that its end is seen at once; a long one only so
# often. From then on it is read when it has grown by a half, so that a page takes a time linear to its length.
_LONG_TAG_BYTES = 4096
_READ_ANEW = 16

_FOREIGN = (b"svg", b"math")
# Inside of foreign elements, HTML is read as such again in these (section 13.2.6, "integration point"). Which end tags
# count there depends on what HTML is open, so that is followed; whatever is not closed in order makes it unsure.
_HTML_AGAIN = (b"foreignobject", b"desc", b"title", b"mi", b"mo", b"mn", b"ms", b"mtext")
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
_STACKED = (*_FOREIGN, b"template", *_HTML_AGAIN, *_UNSURE)


def _run(starts: Iterable[bytes], ends: Iterable[bytes]) -> re.Pattern[bytes]:
    """As many tokens as are of no interest, in one match that cannot fail; it stops at the tags that are named."""
    start = rb"(?!(?:" + any_case(*starts) + rb")" + _TAG_END + rb")[A-Za-z]" + _NAME_REST + ATTRIBUTES + rb">"
    end = (
        rb"/(?!(?:" + any_case(*ends) + rb")" + _TAG_END + rb")[A-Za-z]" + _NAME_REST + rb"(?:>|" + ATTRIBUTES + rb">)"
    )
    bogus = rb"(?!<!(?:--|\[CDATA\[))" + BOGUS_COMMENT
    return re.compile(
        rb"(?:[^<]++|<(?:" + start + rb"|" + end + rb")|" + bogus + rb"|" + NOTHING + rb"|<(?![A-Za-z/!?]))*"
    )


# Outside of all that is nested, inside of a template or where HTML is read again, directly inside of svg or math.
_PLAIN_RUN = _run((*RAW_TEXT, *_FOREIGN, b"template", b"plaintext", b"frameset"), (b"body",))
_NESTED_RUN = _run((*RAW_TEXT, *_STACKED, b"plaintext", b"frameset"), (b"body", *_STACKED))
_FOREIGN_RUN = _run((*_STACKED, *_BREAKOUT), (b"body", *_STACKED, *_BREAKOUT))
_XML_RUN = _run(_STACKED, (b"body", *_STACKED))
# Where HTML is read again, every tag counts.
_FOLLOWED_RUN = re.compile(
    rb"(?:[^<]++|(?!<!(?:--|\[CDATA\[))" + BOGUS_COMMENT + rb"|" + NOTHING + rb"|<(?![A-Za-z/!?]))*"
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


class Bottom:
    """Passes a page on and inserts the snippet.

    :param snippet: what to insert.
    :param xhtml: the page is read as XML.
    :ivar placed: whether the snippet is in what was passed on.
    :ivar at: how far into the page it is placed.
    """

    def __init__(self, snippet: bytes, xhtml: bool) -> None:
        self.placed = False
        self.at = 0
        self._passed = 0
        self._snippet = snippet
        self._xhtml = xhtml
        self._held = b""
        self._scan = 0
        self._candidate = -1
        self._over = False
        self._frames = False
        self._stack: list[bytes] = []
        self._until: re.Pattern[bytes] | None = None
        self._script_depth = -1
        # A long tag that has not ended: what came since it was read last, where it begins, how often it was read.
        self._later: list[bytes] = []
        self._later_bytes = 0
        self._later_ends = False
        self._tag_at = -1
        self._tag_read = 0

    def feed(self, chunk: bytes, at_end: bool = False) -> bytes:
        """Take the next piece of the page in.

        :param at_end: it is the last one.
        :returns: what can be passed on by now.
        """
        if self._over:
            return chunk
        if self._tag_at >= 0:
            self._later.append(chunk)
            self._later_bytes += len(chunk)
            self._later_ends = self._later_ends or b">" in chunk
            if not at_end and not (self._later_ends and self._is_worth_reading()):
                return b""
            chunk = self._take_later()
        data = self._held + chunk if self._held else chunk
        over = self._read(data, at_end)
        self._look_for_long_tag(data)
        if self._candidate >= 0 and (at_end or over or self._scan - self._candidate > MAX_HELD_BYTES):
            return self._insert(data)
        if at_end:
            clean = self._scan >= len(data) and not (self._stack or self._until or self._script_depth >= 0)
            self.placed = clean and not (self._frames or self._xhtml or over)
            self.at = self._passed + len(data)
            return data + self._snippet if self.placed else data
        kept = len(data) if over else self._candidate if self._candidate >= 0 else self._scan
        self._held = data[kept:]
        self._passed += kept
        self._scan -= kept
        self._candidate = max(-1, self._candidate - kept)
        return data[:kept]

    def held(self) -> bytes:
        """What is held back, for a page that was cut off."""
        return self._held + b"".join(self._later)

    @property
    def unread(self) -> int:
        """How many of the last bytes belong to a token that has not ended; a comment or raw text is none."""
        return len(self._held) - self._scan + self._later_bytes

    @property
    def in_plain(self) -> bool:
        """Whether a tag that came next would be read as one, and neither in a template nor in svg, math, frames."""
        nested = self._stack or self._until or self._script_depth >= 0
        return self._scan == len(self._held) and not (nested or self._frames or self._over)

    def _is_worth_reading(self) -> bool:
        return self._tag_read < _READ_ANEW or 2 * self._later_bytes > len(self._held)

    def _take_later(self) -> bytes:
        later = b"".join(self._later)
        self._later = []
        self._later_bytes = 0
        self._later_ends = False
        return later

    def _look_for_long_tag(self, data: bytes) -> None:
        """Whether reading stopped at a tag that is long already, and whether it did so before."""
        if len(data) - self._scan < _LONG_TAG_BYTES or self._over or self._until or self._script_depth >= 0:
            self._tag_at = -1
            return
        at = self._passed + self._scan
        self._tag_read = self._tag_read + 1 if at == self._tag_at else 0
        self._tag_at = at

    def _insert(self, data: bytes) -> bytes:
        self.placed = self._over = True
        self.at = self._passed + self._candidate
        self._held = b""
        return data[: self._candidate] + self._snippet + data[self._candidate :]

    def _read(self, data: bytes, at_end: bool) -> bool:
        """Read as far as can be told; whether nothing more needs to be read."""
        # All tokens are told by their end, but for a "<" that is none: one more byte must be seen.
        limit = len(data) if at_end or not data.endswith(b"<") else len(data) - 1
        before: tuple[int, object, int] | None = None
        now = (self._scan, self._until, self._script_depth)
        while now != before and not self._over:
            before = now
            if self._script_depth >= 0:
                self._read_script(data, at_end)
            elif self._until is not None:
                self._read_until(self._until, data, at_end)
            elif self._scan < limit:
                run = self._run().match(data, self._scan, limit)
                self._scan = run.end() if run else self._scan
                if self._scan < limit:
                    self._read_token(data, at_end)
            now = (self._scan, self._until, self._script_depth)
        return self._over

    def _run(self) -> re.Pattern[bytes]:
        if self._xhtml:
            return _XML_RUN
        if not self._stack:
            return _PLAIN_RUN
        if self._in_foreign():
            return _FOREIGN_RUN
        return _FOLLOWED_RUN if self._is_followed() else _NESTED_RUN

    def _is_followed(self) -> bool:
        """Whether HTML is read again within svg or math, so that its elements are on the stack too."""
        return bool(self._stack) and not self._xhtml and self._stack[-1] not in (*_FOREIGN, b"template")

    def _in_foreign(self) -> bool:
        return bool(self._stack) and self._stack[-1] in _FOREIGN

    def _read_token(self, data: bytes, at_end: bool) -> None:
        """Read a token that a run stopped at, if it is whole."""
        at = self._scan
        if data.startswith(b"<!--", at):
            if not self._xhtml and (short := _SHORT_COMMENT.match(data, at)):
                self._scan = short.end()
                return
            if len(data) - at < _SHORT_COMMENT_BYTES and not at_end:
                return
            self._scan = at + 4
            self._until = _XML_COMMENT_END if self._xhtml else _COMMENT_END
        elif data.startswith(b"<![CDATA[", at) and (self._xhtml or self._in_foreign()):
            self._scan = at + 9
            self._until = _CDATA_END
        elif tag := (_TAG.match(data, at) or _BOGUS.match(data, at)):
            self._scan = tag.end()
            if tag.lastindex:
                self._take(tag.group(1).lower(), at, data[tag.end() - 2] == 0x2F)

    def _take(self, name: bytes, at: int, closed: bool) -> None:
        foreign = self._in_foreign()
        if name == b"/body":
            self._take_body_end(at)
        elif name in _UNSURE and self._stack and not self._xhtml:
            self._over = True
        elif foreign and not self._xhtml and (name in _BREAKOUT or (name[1:] in _BREAKOUT_ENDS and name[:1] == b"/")):
            while self._in_foreign():
                self._stack.pop()
            self._open(name)
        elif foreign and not self._xhtml and name[:1] == b"/" and name[1:] in _BREAKOUT:
            # It closes all of it where such an element is open outside, and nothing where none is (section 13.2.6.5,
            # "any other end tag"): what is open outside is not known here.
            self._over = True
        elif name.startswith(b"/"):
            self._pop(name[1:])
        elif name in _FOREIGN or name == b"template":
            if not (closed and (name in _FOREIGN or self._xhtml)):
                self._stack.append(name)
        elif name in _HTML_AGAIN and foreign:
            if not closed:
                self._stack.append(name)
        elif not self._xhtml:
            self._take_text_start(name)
            self._open(name)

    def _open(self, name: bytes) -> None:
        """Follow an element of HTML, where that is done."""
        if not self._is_followed() or name in _VOID or name.startswith(b"/"):
            return
        if name in _HTML_AGAIN and name not in _RAW_END:
            # One of HTML with the name of svg's or math's: not worth telling apart.
            self._over = True
        self._stack.append(name)

    def _take_text_start(self, name: bytes) -> None:
        if name == b"script":
            self._script_depth = 0
        elif name in _RAW_END:
            self._until = _RAW_END[name]
        elif name == b"plaintext":
            self._over = True
        elif name == b"frameset":
            self._frames = True

    def _take_body_end(self, at: int) -> None:
        if self._stack or self._frames:
            return
        if self._candidate >= 0 and at - self._candidate > MAX_HELD_BYTES:
            self._over = True
        else:
            self._candidate = at

    def _pop(self, name: bytes) -> None:
        followed = self._is_followed()
        for index in range(len(self._stack) - 1, -1, -1):
            one = self._stack[index]
            if one == name:
                del self._stack[index:]
                return
            # What is opened outside of a template is not closed inside of it (section 13.2.6.4.7, "special").
            if one == b"template" and not self._xhtml:
                return
            if one not in _STACKED and name != b"template":
                # An open element of HTML: it is closed out of order, or this closes nothing (section 13.2.6.4.7).
                self._over = name in self._stack
                return
        if followed and self._stack[-1] in _HTML_AGAIN and name not in _BREAKOUT_ENDS:
            # It may close an element of svg or math around it, which is not followed (section 13.2.6.5).
            self._over = True

    def _read_until(self, end: re.Pattern[bytes], data: bytes, at_end: bool) -> None:
        found = end.search(data, self._scan)
        if found is None:
            self._scan = len(data) if at_end else max(self._scan, len(data) - _PARTIAL_BYTES)
            return
        self._until = None
        # A raw text's end tag is read as a tag; the ends of comments and CDATA are done with.
        self._scan = found.start() if found.group().startswith(b"<") else found.end()

    def _read_script(self, data: bytes, at_end: bool) -> None:
        token = _SCRIPT_TOKEN.search(data, self._scan)
        if token is None:
            self._scan = len(data) if at_end else max(self._scan, len(data) - _PARTIAL_BYTES)
            return
        kind = token.lastgroup
        self._scan = token.end()
        if kind == "open":
            # Its dashes may be those of the end: "<!-->" opens and closes.
            self._scan -= 2
            self._script_depth = max(self._script_depth, 1)
        elif kind == "close":
            self._script_depth = 0
        elif kind == "start":
            self._script_depth = 2 if self._script_depth else 0
        elif self._script_depth == 2:
            self._script_depth = 1
        else:
            self._scan = token.start()
            self._script_depth = -1
