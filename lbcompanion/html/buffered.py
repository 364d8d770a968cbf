"""Insertion into complete pages, for ``skip_if`` and configured insertion points."""

from __future__ import annotations

import re

from lbcompanion.html.eligible import Refusal
from lbcompanion.html.insertion_points import InsertionPoints, find_insertion_point
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
        self.placed = False
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
        page = self.pending()
        if self._skip_if is not None and self._skip_if.search(page):
            return self._refuse(Refusal.SKIPPED)
        self.done = True
        stream = StreamingInjector(self._spec)
        out = stream.feed(page, True)
        self.placed, self.refusal, self.directive = stream.placed, stream.refusal, stream.directive
        return (
            self._inserted_at_points(page, stream, self._insertion_points)
            if self.placed and self._insertion_points
            else out
        )

    def pending(self) -> bytes:
        """The bytes held back now."""
        return b"".join(self._buffer)

    def _refuse(self, refusal: Refusal) -> bytes:
        self.refusal = refusal
        self.done = True
        page, self._buffer = self.pending(), []
        return page

    def _inserted_at_points(self, page: bytes, default: StreamingInjector, insertion_points: InsertionPoints) -> bytes:
        """The page with each snippet at its configured insertion point, or at the default one without a match."""
        minimum = default.top_at
        top_at, bottom_at = minimum, default.bottom_at
        if insertion_points.top and default.top:
            found = find_insertion_point(page, insertion_points.top, minimum, self._spec.xhtml, last=False)
            top_at = top_at if found is None else found
        if insertion_points.bottom and default.bottom:
            found = find_insertion_point(page, insertion_points.bottom, minimum, self._spec.xhtml, last=True)
            bottom_at = bottom_at if found is None else found
        parts = [(top_at, default.top)]
        if bottom_at is not None:
            parts.append((bottom_at, default.bottom))
        out = b""
        done = 0
        for offset, snippet in sorted(parts, key=lambda part: part[0]):
            out += page[done:offset] + snippet
            done = offset
        return out + page[done:]
