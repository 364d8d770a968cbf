"""Insertion into complete pages, for ``skip_if`` and configured insertion points."""

from __future__ import annotations

import re

from lbcompanion.html.body_end import has_base
from lbcompanion.html.charset import prescan
from lbcompanion.html.held_input import Mark, joined
from lbcompanion.html.page_detection import Refusal
from lbcompanion.html.place_patterns import InsertionPoints, find_insertion_point
from lbcompanion.html.stream import InjectionSpec, StreamingInjector


class BufferedInjector:
    """A :class:`lbcompanion.html.stream.PageTransformer` that buffers the whole page.

    :param skip_if: where it matches, nothing is inserted.
    :param insertion_points: the configured insertion points.
    :param limit_bytes: a larger page is left alone.
    """

    def __init__(
        self,
        spec: InjectionSpec,
        skip_if: re.Pattern[bytes] | None,
        insertion_points: InsertionPoints | None,
        limit_bytes: int,
    ) -> None:
        self.inserted = False
        self.refusal: Refusal | None = None
        self.directive = ""
        self.done = False
        self._spec = spec
        self._skip_if = skip_if
        self._insertion_points = insertion_points
        self._limit_bytes = limit_bytes
        self._buffer: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes, at_end: bool) -> bytes:
        """Buffer the next piece; returns the page after the last one."""
        if self.done:
            return chunk
        self._buffer.append(chunk)
        self._size += len(chunk)
        if self._size > self._limit_bytes:
            return self._refuse(Refusal.LARGE)
        if not at_end:
            return b""
        page = joined(self.mark())
        if self._skip_if is not None and self._skip_if.search(page):
            return self._refuse(Refusal.SKIPPED)
        self.done = True
        stream = StreamingInjector(self._spec)
        out = stream.feed(page, at_end=True)
        self.inserted, self.refusal, self.directive = stream.inserted, stream.refusal, stream.directive
        return (
            self._inserted_at_points(page, stream, self._insertion_points)
            if self.inserted and self._insertion_points
            else out
        )

    def mark(self) -> Mark:
        """The bytes held back now."""
        return b"", self._buffer, len(self._buffer), b""

    def _refuse(self, refusal: Refusal) -> bytes:
        self.refusal = refusal
        self.done = True
        page, self._buffer = joined(self.mark()), []
        return page

    def _inserted_at_points(self, page: bytes, default: StreamingInjector, insertion_points: InsertionPoints) -> bytes:
        """The page with each snippet at its configured insertion point, or at the default one without a match."""
        minimum = self._first_offset(page, default)
        top_at, bottom_at = default.top_at, default.bottom_at
        if insertion_points.top and default.top:
            found = find_insertion_point(page, insertion_points.top, minimum, xhtml=self._spec.xhtml, last=False)
            top_at = top_at if found is None else found
        if insertion_points.bottom and default.bottom:
            found = find_insertion_point(page, insertion_points.bottom, minimum, xhtml=self._spec.xhtml, last=True)
            bottom_at = bottom_at if found is None else found
        parts = [(top_at, self._snippet(page, top_at, default.top, 0))]
        if bottom_at is not None:
            parts.append((bottom_at, self._snippet(page, bottom_at, default.bottom, 1)))
        out = b""
        done = 0
        for offset, snippet in sorted(parts, key=lambda part: part[0]):
            out += page[done:offset] + snippet
            done = offset
        return out + page[done:]

    def _snippet(self, page: bytes, offset: int, snippet: bytes, index: int) -> bytes:
        """A snippet as it is inserted at this offset: with absolute addresses if a ``<base>`` precedes it."""
        after_base = self._spec.after_base
        return after_base()[index] if after_base and has_base(page[:offset]) else snippet

    def _first_offset(self, page: bytes, default: StreamingInjector) -> int:
        """The first offset at which the top snippet pushes no ``<meta charset>`` out of the prescan."""
        if not self._spec.top_at_head_end:
            return default.top_at
        meta = None if self._spec.charset_known or self._spec.xhtml else prescan(page)
        if meta is None or meta.stays_in_prescan(default.head_at, len(default.top)):
            return default.head_at
        return max(default.head_at, meta.end)
