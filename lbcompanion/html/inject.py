"""The page on its way to the visitor, with our snippets in it: a streaming machine over bytes.

However the page is cut into chunks, what comes out is the same, and without the snippets it is the page. Where the
machine is not sure of what it reads, nothing is inserted. Bytes flow on at once but for a token that has not ended,
and for the head, which is held back so that a policy in it is seen in time (:mod:`lbcompanion.html.head`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from lbcompanion.html import charset, head
from lbcompanion.html.bottom import Bottom
from lbcompanion.html.prolog import Prolog
from lbcompanion.html.refusal import Refusal

#: Asked once about a page with policies in ``<meta>`` tags: gives top and bottom with the nonce they need, or None
#: where the policies forbid them.
OnPolicies = Callable[[tuple[str, ...]], tuple[bytes, bytes] | None]


class _At(Enum):
    PROLOG = 1
    HEAD = 2
    BODY = 3
    REST = 4


class Injector:
    """One page.

    :param top: goes to the head's start; ASCII.
    :param bottom: goes before the last ``</body>``, or to the document's end; empty: the body is not even read.
    :param xhtml: the page is read as XML.
    :param charset_known: the encoding stands in the page's ``Content-Type``, so that no ``<meta>`` matters.
    :param needs_document: a page with neither a doctype nor ``<html>`` is a fragment.
    :param on_policies: None: the policies of ``<meta>`` tags are not looked at.
    :param skip_if: pattern over the page; where it matches, nothing is inserted. The whole page is held back for it.
    :param limit_bytes: of a page with ``skip_if``, how much is held back; a larger one is left alone.
    :ivar placed: whether anything of ours is in what came out.
    :ivar refusal: why nothing is, as far as the body tells; None while it is not decided, or where something is.
    """

    def __init__(
        self,
        top: bytes,
        bottom: bytes = b"",
        *,
        xhtml: bool = False,
        charset_known: bool = False,
        needs_document: bool = False,
        on_policies: OnPolicies | None = None,
        skip_if: re.Pattern[bytes] | None = None,
        limit_bytes: int = 4194304,
    ) -> None:
        self.placed = False
        self.refusal: Refusal | None = None
        self._top = top
        self._bottom_snippet = bottom
        self._xhtml = xhtml
        self._charset_known = charset_known or xhtml
        self._on_policies = on_policies
        self._skip_if = skip_if
        self._limit_bytes = limit_bytes
        self._prolog = Prolog(xhtml, needs_document)
        self._bottom: Bottom | None = None
        self._at = _At.PROLOG
        self._held = b""
        self._start = b""
        self._begins = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take the next piece of the page in; gives what can be passed on by now. Never raises."""
        if self._at is _At.REST:
            return chunk
        if self._skip_if is not None:
            self._held += chunk
            return self._refuse(Refusal.SKIPPED, self._held) if len(self._held) > self._limit_bytes else b""
        return self._guarded(chunk, False)

    def finish(self) -> bytes:
        """The page has ended as it should; gives what was held back. Never raises."""
        if self._at is _At.REST:
            return b""
        if self._skip_if is None:
            return self._guarded(b"", True)
        page, self._held = self._held, b""
        if self._skip_if.search(page):
            return self._refuse(Refusal.SKIPPED, page)
        self._skip_if = None
        return self._guarded(page, True)

    def _guarded(self, chunk: bytes, at_end: bool) -> bytes:
        """Fail open: whatever goes wrong in here, the page goes on as it came."""
        placed = self.placed
        held = self._bottom.held() if self._bottom else self._held
        try:
            return self._read(chunk, at_end)
        except Exception:
            self.placed, self._bottom = placed, None
            return self._refuse(Refusal.FAILED, held + chunk)

    def held(self) -> bytes:
        """What was held back, for a page that was cut off: nothing is inserted any more."""
        left = self._bottom.held() if self._bottom else self._held
        self._bottom, self._held, self._at = None, b"", _At.REST
        return left

    def _read(self, chunk: bytes, at_end: bool) -> bytes:
        if self._at is _At.BODY:
            return self._read_body(chunk, at_end)
        data = self._held + chunk if self._held else chunk
        if not self._charset_known and len(self._start) < charset.PRESCAN_BYTES:
            self._start += chunk[: charset.PRESCAN_BYTES - len(self._start)]
        passed = b""
        if self._at is _At.PROLOG:
            read = self._prolog.read(data, at_end)
            if self._prolog.refusal:
                return self._refuse(self._prolog.refusal, data)
            self._begins += read
            passed, data = data[:read], data[read:]
            if self._prolog.found:
                self._at = _At.HEAD
        if self._at is _At.HEAD:
            return passed + self._read_head(data, at_end)
        self._held = data
        return passed

    def _read_head(self, data: bytes, at_end: bool) -> bytes:
        end = head.find_end(data, at_end)
        if end is None or not (at_end or self._charset_seen()):
            self._held = data
            return b""
        zone = data[:end]
        if not head.is_plain(zone) and (refusal := self._ask(head.look_at(zone))):
            return self._refuse(refusal, data)
        offset: int | Refusal = 0
        if not self._charset_known:
            offset = head.offset_of(self._start, self._begins, data[: charset.PRESCAN_BYTES], len(self._top))
        if isinstance(offset, Refusal):
            return self._refuse(offset, data)
        return self._insert(data, offset, at_end)

    def _charset_seen(self) -> bool:
        return (
            self._charset_known or len(self._start) >= charset.PRESCAN_BYTES or charset.prescan(self._start) is not None
        )

    def _ask(self, seen: head.HeadSeen) -> Refusal | None:
        if seen.marked:
            return Refusal.MARKED
        if seen.policies and self._on_policies:
            snippets = self._on_policies(seen.policies)
            if snippets is None:
                return Refusal.CSP
            self._top, self._bottom_snippet = snippets
        return None

    def _insert(self, data: bytes, offset: int, at_end: bool) -> bytes:
        self.placed = bool(self._top)
        passed = data[:offset] + self._top
        self._held = self._start = b""
        rest = data[offset:]
        if not self._bottom_snippet:
            self._at = _At.REST
            return passed + rest
        self._at = _At.BODY
        self._bottom = Bottom(self._bottom_snippet, self._xhtml)
        return passed + self._read_body(rest, at_end)

    def _read_body(self, chunk: bytes, at_end: bool) -> bytes:
        assert self._bottom is not None
        passed = self._bottom.feed(chunk, at_end)
        self.placed = self.placed or self._bottom.placed
        return passed

    def _refuse(self, refusal: Refusal, held: bytes) -> bytes:
        self.refusal = refusal
        self._at = _At.REST
        self._held = self._start = b""
        return held
