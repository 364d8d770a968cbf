"""Inserts snippets into a page on its way to the visitor.

The output does not depend on how the page is split into chunks; without the snippets it is the page. After an internal
error the page is forwarded unchanged.
"""

from __future__ import annotations

import re

from lbcompanion.html import charset, utf16
from lbcompanion.html.buffered import BufferedInjector
from lbcompanion.html.held_input import Mark, joined
from lbcompanion.html.page_detection import Refusal
from lbcompanion.html.place_patterns import InsertionPoints
from lbcompanion.html.stream import AfterBase, InjectionSpec, OnPolicies, PageTransformer, StreamingInjector

# The length of the longest byte order mark.
_BOM_BYTES = 3
# A tag of this length is always held back until it ends.
_MIN_TAG_LIMIT_BYTES = 16384
_NOTHING: Mark = (b"", [], 0, b"")


class Injector:
    """One page.

    :param top: goes into the head; ASCII.
    :param bottom: goes before the last ``</body>``, or to the document's end; empty: the body is not even read.
    :param top_at_head_end: whether the top snippet goes to the head's end; else to its start.
    :param xhtml: the page is read as XML.
    :param charset_known: whether ``Content-Type`` names the encoding, so that no ``<meta>`` matters.
    :param needs_document: a page with neither a doctype nor ``<html>`` is a fragment.
    :param accepts_head: with ``needs_document``, a page that begins with an element of a head is a document too.
    :param on_policies: called with the policies of ``<meta>`` tags; with None they are ignored.
    :param after_base: called if a ``<base>`` precedes the place of a snippet, other than of one at the head's start;
        gives top and bottom with absolute addresses.
    :param skip_if: pattern over the page; where it matches, nothing is inserted. The whole page is held back for it.
    :param insertion_points: the configured insertion points; the whole page is buffered for them too.
    :param limit_bytes: of a page that is held back whole, or of a tag; a larger one is left alone.
    :param utf_16: ``utf-16le`` or ``utf-16be`` if ``Content-Type`` names it; a byte order mark takes precedence.
    :ivar inserted: whether a snippet was inserted.
    :ivar refusal: why nothing was inserted; None before the decision, or if something was inserted.
    :ivar directive: the CSP directive in a ``<meta>`` that blocks the script.
    """

    def __init__(
        self,
        top: bytes,
        bottom: bytes = b"",
        *,
        top_at_head_end: bool = False,
        xhtml: bool = False,
        charset_known: bool = False,
        needs_document: bool = False,
        accepts_head: bool = False,
        on_policies: OnPolicies | None = None,
        skip_if: re.Pattern[bytes] | None = None,
        insertion_points: InsertionPoints | None = None,
        after_base: AfterBase | None = None,
        limit_bytes: int = 4194304,
        utf_16: str = "",
    ) -> None:
        self.inserted = False
        self.refusal: Refusal | None = None
        self.directive = ""
        tag_limit = max(limit_bytes, _MIN_TAG_LIMIT_BYTES)
        self._spec = InjectionSpec(
            top,
            bottom,
            top_at_head_end,
            xhtml,
            charset_known,
            needs_document,
            on_policies,
            after_base,
            tag_limit,
            accepts_head,
        )
        self._skip_if = skip_if
        self._insertion_points = insertion_points
        self._limit_bytes = limit_bytes
        self._utf_16 = utf_16
        self._transformer: PageTransformer | None = None
        self._start = b""
        self._done = False

    def feed(self, chunk: bytes) -> bytes:
        """Process the next piece of the page; returns the bytes to forward now. Never raises."""
        return chunk if self._done else self._feed_safely(chunk, False)

    def finish(self) -> bytes:
        """End a complete page; returns the bytes held back. Never raises."""
        return b"" if self._done else self._feed_safely(b"", True)

    def flush(self) -> bytes:
        """End a truncated page without a further insertion; returns the bytes held back."""
        held = b"" if self._done else joined(self._transformer.mark()) if self._transformer else self._start
        self._done, self._start = True, b""
        return held

    def _feed_safely(self, chunk: bytes, at_end: bool) -> bytes:
        """Fail open: after an internal error the page is forwarded unchanged."""
        transformer = self._transformer
        mark = transformer.mark() if transformer else _NOTHING
        try:
            if transformer is None:
                chunk = self._start + chunk
                if not at_end and self._needs_more(chunk):
                    self._start = chunk
                    return b""
                transformer = self._transformer = self._make_transformer(chunk)
                self._start = b""
            out = transformer.feed(chunk, at_end)
        except Exception:
            self.refusal = Refusal.FAILED
            self._done = True
            return joined(mark) + chunk
        self.inserted, self.refusal, self.directive = transformer.inserted, transformer.refusal, transformer.directive
        self._done = transformer.done
        if at_end and not self.inserted and self.refusal is None:
            self.refusal = Refusal.NOWHERE
        return out

    def _needs_more(self, start: bytes) -> bool:
        """Whether the page's first bytes do not show its encoding yet."""
        return len(start) < _BOM_BYTES or charset.may_become_unmarked_utf16(start)

    def _make_transformer(self, start: bytes) -> PageTransformer:
        encoding = charset.bom_charset(start) or self._utf_16
        if not encoding and not self._spec.charset_known:
            encoding = charset.unmarked_utf16(start)
        if not encoding.startswith("utf-16"):
            return self._make_ascii_transformer(self._spec)
        return utf16.Utf16Adapter(self._spec, encoding, self._make_ascii_transformer)

    def _make_ascii_transformer(self, spec: InjectionSpec) -> PageTransformer:
        if self._skip_if is None and self._insertion_points is None:
            return StreamingInjector(spec)
        return BufferedInjector(spec, self._skip_if, self._insertion_points, self._limit_bytes)
