"""Finds the place of the bottom snippet: before the last real ``</body>``, else at the end of the document.

A real ``</body>`` is one that the tokenizer reads as a tag (HTML Standard, section 13.2.5), outside of templates, svg
and math. Two things are held back: an unfinished tag, and up to 16 KiB after a ``</body>`` that may be the last one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from lbcompanion.html.held_input import HeldInput, Mark
from lbcompanion.html.markup_reader import MarkupReader

# The start of a tag that may set the base address.
_BASE = re.compile(rb"<[Bb][Aa][Ss][Ee][\t\n\f\r />]")
_BASE_BYTES = 6

#: A ``</body>`` further behind another one than this, in bytes, is not considered.
MAX_HELD_BYTES = 16384


def has_base(page: bytes, start: int = 0, end: int = sys.maxsize) -> bool:
    """Whether a part of a page may have a ``<base>``; one in a comment or a script counts too."""
    return _BASE.search(page, start, end) is not None


class BodyEndInserter(MarkupReader):
    """Forwards a page and inserts the bottom snippet.

    :param snippet: the bytes to insert.
    :param xhtml: the page is read as XML.
    :param after_base: gives the snippet as the last member if a ``<base>`` precedes its place.
    :ivar inserted: whether the snippet was inserted.
    :ivar inserted_at: its offset in the page.
    """

    def __init__(
        self, snippet: bytes, xhtml: bool, after_base: Callable[[], tuple[bytes, bytes]] | None = None
    ) -> None:
        super().__init__(xhtml)
        self.inserted = False
        self.inserted_at = 0
        self._snippet = snippet
        self._after_base = after_base
        self._passed_end = b""
        self._passed_bytes = 0
        self._candidate = -1
        self._held = HeldInput()

    def feed(self, chunk: bytes, at_end: bool = False) -> bytes:
        """Process the next piece of the page.

        :param at_end: whether it is the last one.
        :returns: the bytes to forward now.
        """
        if self.stopped:
            return chunk
        data = self._held.add(chunk, at_end)
        if data is None:
            return b""
        self.read(data, at_end)
        if self._candidate >= 0 and (at_end or self.stopped or self.position - self._candidate > MAX_HELD_BYTES):
            return self._insert(data, self._candidate)
        if at_end:
            # The snippet would become a part of the open element.
            is_open = self.is_nested or self.position < len(data)
            if is_open or self._in_frameset or self._xhtml or self.stopped:
                return data
            return self._insert(data, len(data))
        passed = len(data) if self.stopped else self._candidate if self._candidate >= 0 else self.position
        token_bytes = 0 if self.stopped or self.in_text else len(data) - self.position
        self._held.keep(data[passed:], self._passed_bytes + self.position, token_bytes)
        self._note_base(data[:passed])
        self._passed_bytes += passed
        self.position -= passed
        self._candidate = max(-1, self._candidate - passed)
        return data[:passed]

    def mark(self) -> Mark:
        """The bytes held back now."""
        return self._held.mark()

    @property
    def unfinished_bytes(self) -> int:
        """The number of trailing bytes that belong to an unfinished tag; comments and raw text do not count."""
        return len(self._held) - self.position

    @property
    def in_body_content(self) -> bool:
        """Whether the next tag would be read as a tag, outside of templates, svg, math and framesets."""
        return not (self.unfinished_bytes or self.is_nested or self._in_frameset or self.stopped)

    def _insert(self, data: bytes, offset: int) -> bytes:
        self._note_base(data[:offset])
        self.inserted = self.stopped = True
        self.inserted_at = self._passed_bytes + offset
        self._held.keep(b"", -1, 0)
        return data[:offset] + self._snippet + data[offset:]

    def _note_base(self, passed: bytes) -> None:
        """Look for a ``<base>`` before the snippet."""
        if self._after_base is None:
            return
        if has_base(self._passed_end + passed):
            self._snippet = self._after_base()[1]
            self._after_base = None
        self._passed_end = (self._passed_end + passed)[1 - _BASE_BYTES :]

    def _handle_body_end(self, tag_start: int) -> None:
        if self._stack or self._in_frameset:
            return
        if self._candidate >= 0 and tag_start - self._candidate > MAX_HELD_BYTES:
            self.stopped = True
        else:
            self._candidate = tag_start
