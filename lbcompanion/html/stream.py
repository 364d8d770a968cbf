"""Streaming insertion into pages in an ASCII-compatible encoding.

Bytes are forwarded at once, except for an unfinished token and the head. The head is held back so that a policy in it
is seen before the insertion (:mod:`lbcompanion.html.head`). If the parser is not sure, nothing is inserted.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from attrs import define

from lbcompanion.html import charset, head
from lbcompanion.html.body_end import BodyEndInserter
from lbcompanion.html.bytesearch import lowered
from lbcompanion.html.eligible import Refusal
from lbcompanion.html.prolog import Prolog

#: Asked once about a page with policies in ``<meta>`` tags: gives top and bottom with the nonce they need, or the
#: directive that forbids them.
OnPolicies = Callable[[tuple[str, ...]], tuple[bytes, bytes] | str]


@define
class InjectionSpec:
    """What to insert into one page, and how to read it. Instances are not modified.

    :ivar top: goes to the head's start; ASCII.
    :ivar bottom: goes before the last ``</body>``, or to the document's end; empty: the body is not even read.
    :ivar xhtml: the page is read as XML.
    :ivar charset_known: the encoding stands in the page's ``Content-Type``, so that no ``<meta>`` matters.
    :ivar needs_document: a page with neither a doctype nor ``<html>`` is a fragment.
    :ivar on_policies: called with the policies of ``<meta>`` tags; with None they are ignored.
    """

    top: bytes
    bottom: bytes = b""
    xhtml: bool = False
    charset_known: bool = False
    needs_document: bool = False
    on_policies: OnPolicies | None = None


class PageTransformer(Protocol):
    """Transforms a page piece by piece.

    :ivar placed: whether a snippet was inserted.
    :ivar refusal: why nothing was inserted; None before the decision, or if something was inserted.
    :ivar directive: the CSP directive that blocks the script.
    :ivar done: whether further input is forwarded unchanged.
    """

    placed: bool
    refusal: Refusal | None
    directive: str
    done: bool

    def feed(self, chunk: bytes, at_end: bool) -> bytes:
        """Process the next piece; returns the bytes to forward now."""
        ...

    def pending(self) -> bytes:
        """The bytes held back now."""
        ...


class _State(Enum):
    PROLOG = 1
    HEAD = 2
    BODY = 3


class StreamingInjector:
    """Inserts at the default places while the page streams through.

    :ivar top_at: where the top snippet went, once it did.
    :ivar bottom_at: where the bottom snippet went; None as long as it did not.
    """

    def __init__(self, spec: InjectionSpec) -> None:
        self.placed = False
        self.refusal: Refusal | None = None
        self.directive = ""
        self.done = False
        self.top_at = 0
        self.bottom_at: int | None = None
        self.top = spec.top
        self.bottom = spec.bottom
        self._xhtml = spec.xhtml
        self._charset_known = spec.charset_known or spec.xhtml
        self._on_policies = spec.on_policies
        self._prolog = Prolog(spec.xhtml, spec.needs_document)
        self._body_end_inserter: BodyEndInserter | None = None
        self._state = _State.PROLOG
        self._buffer = b""
        self._start = b""

    def feed(self, chunk: bytes, at_end: bool) -> bytes:
        """Process the next piece; returns the bytes to forward now."""
        if self._state is _State.BODY:
            return chunk if self.done else self._read_body(chunk, at_end)
        if self.done:
            return chunk
        data = self._buffer + chunk if self._buffer else chunk
        if not self._charset_known and len(self._start) < charset.PRESCAN_BYTES:
            self._start += chunk[: charset.PRESCAN_BYTES - len(self._start)]
        output = b""
        if self._state is _State.PROLOG:
            read = self._prolog.read(data, at_end)
            if self._prolog.refusal:
                return self._refuse(self._prolog.refusal, data)
            self.top_at += read
            output, data = data[:read], data[read:]
            if self._prolog.found:
                self._state = _State.HEAD
        if self._state is _State.HEAD:
            return output + self._read_head(data, at_end)
        self._buffer = data
        return output

    def pending(self) -> bytes:
        """The bytes held back now."""
        return self._body_end_inserter.pending() if self._body_end_inserter else self._buffer

    def _read_head(self, data: bytes, at_end: bool) -> bytes:
        end = head.find_head_end(data, at_end)
        if end is None or not (at_end or self._charset_seen()):
            self._buffer = data
            return b""
        zone = data[:end]
        if not head.has_no_policy_or_marker(lowered(zone)) and (refusal := self._apply_policies(head.scan_head(zone))):
            return self._refuse(refusal, data)
        offset: int | Refusal = 0
        if not self._charset_known:
            offset = head.insertion_offset(self._start, self.top_at, data[: charset.PRESCAN_BYTES], len(self.top))
        if isinstance(offset, Refusal):
            return self._refuse(offset, data)
        return self._insert(data, offset, at_end)

    def _charset_seen(self) -> bool:
        return (
            self._charset_known or len(self._start) >= charset.PRESCAN_BYTES or charset.prescan(self._start) is not None
        )

    def _apply_policies(self, scan: head.HeadScan) -> Refusal | None:
        if scan.has_marker:
            return Refusal.MARKED
        if scan.policies and self._on_policies:
            snippets = self._on_policies(scan.policies)
            if isinstance(snippets, str):
                self.directive = snippets
                return Refusal.CSP
            self.top, self.bottom = snippets
        return None

    def _insert(self, data: bytes, offset: int, at_end: bool) -> bytes:
        self.placed = bool(self.top)
        self.top_at += offset
        output = data[:offset] + self.top
        self._buffer = self._start = b""
        rest = data[offset:]
        if not self.bottom:
            self.done = True
            return output + rest
        self._state = _State.BODY
        self._body_end_inserter = BodyEndInserter(self.bottom, self._xhtml)
        return output + self._read_body(rest, at_end)

    def _read_body(self, chunk: bytes, at_end: bool) -> bytes:
        inserter = self._body_end_inserter
        assert inserter is not None
        output = inserter.feed(chunk, at_end)
        if inserter.placed:
            self.placed = True
            self.bottom_at = self.top_at + inserter.inserted_at
        return output

    def _refuse(self, refusal: Refusal, held: bytes) -> bytes:
        self.refusal = refusal
        self.done = True
        self._buffer = self._start = b""
        return held
