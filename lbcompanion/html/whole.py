"""Pages that must be seen whole before anything is inserted: for ``skip_if``, and for anchors."""

from __future__ import annotations

import re

from lbcompanion.html.anchors import Anchors, find
from lbcompanion.html.eligible import Refusal
from lbcompanion.html.stream import Job, Stream


class Whole:
    """A machine (see :class:`lbcompanion.html.stream.Machine`) that holds the whole page back.

    :param skip_if: where it matches, nothing is inserted.
    :param anchors: other places than the usual ones.
    :param limit_bytes: a larger page is left alone.
    """

    def __init__(self, job: Job, skip_if: re.Pattern[bytes] | None, anchors: Anchors | None, limit_bytes: int) -> None:
        self.placed = False
        self.refusal: Refusal | None = None
        self.directive = ""
        self.done = False
        self._job = job
        self._skip_if = skip_if
        self._anchors = anchors
        self._limit_bytes = limit_bytes
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes, at_end: bool) -> bytes:
        """See :class:`lbcompanion.html.stream.Machine`."""
        if self.done:
            return chunk
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size > self._limit_bytes:
            return self._refuse(Refusal.LARGE)
        if not at_end:
            return b""
        page = self.kept()
        if self._skip_if is not None and self._skip_if.search(page):
            return self._refuse(Refusal.SKIPPED)
        self.done = True
        stream = Stream(self._job)
        out = stream.feed(page, True)
        self.placed, self.refusal, self.directive = stream.placed, stream.refusal, stream.directive
        return self._anchored(page, stream, self._anchors) if self.placed and self._anchors else out

    def kept(self) -> bytes:
        """See :class:`lbcompanion.html.stream.Machine`."""
        return b"".join(self._held)

    def _refuse(self, refusal: Refusal) -> bytes:
        self.refusal = refusal
        self.done = True
        page, self._held = self.kept(), []
        return page

    def _anchored(self, page: bytes, usual: Stream, anchors: Anchors) -> bytes:
        """The page with each snippet at its anchor, and at its usual place where there is no such anchor."""
        least = usual.top_at
        top_at, bottom_at = least, usual.bottom_at
        if anchors.top and usual.top:
            found = find(page, anchors.top, least, self._job.xhtml, last=False)
            top_at = top_at if found is None else found
        if anchors.bottom and usual.bottom:
            found = find(page, anchors.bottom, least, self._job.xhtml, last=True)
            bottom_at = bottom_at if found is None else found
        parts = [(top_at, usual.top)]
        if bottom_at is not None:
            parts.append((bottom_at, usual.bottom))
        out = b""
        done = 0
        for offset, snippet in sorted(parts, key=lambda part: part[0]):
            out += page[done:offset] + snippet
            done = offset
        return out + page[done:]
