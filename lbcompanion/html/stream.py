"""Streaming insertion into pages in an ASCII-compatible encoding.

Bytes are forwarded at once, except for an unfinished tag. A snippet that goes to the head's start waits for the head's
end, or for 16 KiB, so that a policy in the head is seen before the insertion (:mod:`lbcompanion.html.head`). If the
parser is not sure, nothing is inserted.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from attrs import define

from lbcompanion.html import charset, head
from lbcompanion.html.before_head import DEFAULT_LIMIT_BYTES, BeforeHeadReader
from lbcompanion.html.body_end import BodyEndInserter, has_base
from lbcompanion.html.bytesearch import lowered
from lbcompanion.html.held_input import HeldInput, Mark, joined
from lbcompanion.html.in_head import HeadReader, XmlHeadReader
from lbcompanion.html.page_detection import Refusal

#: Asked once where a snippet follows a ``<base>``: gives top and bottom with absolute addresses.
AfterBase = Callable[[], tuple[bytes, bytes]]
#: Asked once about a page with policies in ``<meta>`` tags: gives top and bottom with the nonce they need, or the
#: directive that forbids them.
OnPolicies = Callable[[tuple[str, ...]], tuple[bytes, bytes] | str]


@define
class InjectionSpec:
    """The snippets for one page, and how to read the page. Instances are not modified.

    :ivar top: goes into the head; ASCII.
    :ivar bottom: goes before the last ``</body>``, or to the document's end; empty: the body is not even read.
    :ivar top_at_head_end: whether the top snippet goes to the head's end; else to its start.
    :ivar xhtml: the page is read as XML.
    :ivar charset_known: whether ``Content-Type`` names the encoding, so that no ``<meta>`` matters.
    :ivar needs_document: a page with neither a doctype nor ``<html>`` is a fragment.
    :ivar accepts_head: with ``needs_document``, a page that begins with an element of a head is a document too.
    :ivar on_policies: called with the policies of ``<meta>`` tags; with None they are ignored.
    :ivar after_base: called if a ``<base>`` precedes the place of a snippet, other than of one at the head's start.
    :ivar limit_bytes: of a tag that is held back until it ends.
    """

    top: bytes
    bottom: bytes = b""
    top_at_head_end: bool = False
    xhtml: bool = False
    charset_known: bool = False
    needs_document: bool = False
    on_policies: OnPolicies | None = None
    after_base: AfterBase | None = None
    limit_bytes: int = DEFAULT_LIMIT_BYTES
    accepts_head: bool = False


class PageTransformer(Protocol):
    """Transforms a page piece by piece.

    :ivar inserted: whether a snippet was inserted.
    :ivar refusal: why nothing was inserted; None before the decision, or if something was inserted.
    :ivar directive: the CSP directive that blocks the script.
    :ivar done: whether further input is forwarded unchanged.
    """

    inserted: bool
    refusal: Refusal | None
    directive: str
    done: bool

    def feed(self, chunk: bytes, at_end: bool) -> bytes:
        """Process the next piece; returns the bytes to forward now."""
        ...

    def mark(self) -> Mark:
        """The bytes held back now."""
        ...


class _State(Enum):
    BEFORE_HEAD = 1
    HEAD_START = 2
    HEAD = 3
    HEAD_END = 4
    BODY = 5


class StreamingInjector:
    """Inserts at the default places while the page streams through.

    :ivar head_at: where the head begins.
    :ivar top_at: where the top snippet went, once it did.
    :ivar bottom_at: where the bottom snippet went; None as long as it did not.
    """

    # Class-level defaults of what most pages do not change.
    inserted = False
    refusal: Refusal | None = None
    directive = ""
    done = False
    head_at = 0
    top_at = 0
    bottom_at: int | None = None
    _head_reader: HeadReader | None = None
    _body_end_inserter: BodyEndInserter | None = None
    _state = _State.BEFORE_HEAD
    _start = b""
    _is_after_base = False

    def __init__(self, spec: InjectionSpec) -> None:
        self.top = spec.top
        self.bottom = spec.bottom
        self._spec = spec
        self._charset_known = spec.charset_known or spec.xhtml
        self._before_head = BeforeHeadReader(spec.xhtml, spec.needs_document, spec.limit_bytes, spec.accepts_head)
        self._held = HeldInput()

    def feed(self, chunk: bytes, at_end: bool) -> bytes:
        """Process the next piece; returns the bytes to forward now."""
        if self.done or self._state is _State.BODY:
            return chunk if self.done else self._read_body(chunk, at_end)
        if not self._charset_known and len(self._start) < charset.PRESCAN_BYTES:
            self._start += chunk[: charset.PRESCAN_BYTES - len(self._start)]
        data = self._held.add(chunk, at_end)
        if data is None:
            return self._refuse(Refusal.UNSURE, joined(self._held.mark())) if self._holds_too_much() else b""
        if self._state is not _State.BEFORE_HEAD:
            return self._read_on(data, at_end)
        before_head = self._before_head
        read = before_head.read(data, at_end)
        if before_head.refusal:
            return self._refuse(before_head.refusal, data)
        self.top_at += read
        if not before_head.found:
            self._held.keep(data[read:], self.top_at, len(data) - read)
            return data[:read]
        self.head_at = self.top_at
        self._state = _State.HEAD if self._spec.top_at_head_end else _State.HEAD_START
        return self._read_on(data, at_end, read)

    def mark(self) -> Mark:
        """The bytes held back now."""
        return self._body_end_inserter.mark() if self._body_end_inserter else self._held.mark()

    def _holds_too_much(self) -> bool:
        return len(self._held) > self._spec.limit_bytes

    def _read_on(self, data: bytes, at_end: bool, position: int = 0) -> bytes:
        """Read from the head's start on; a page in one piece is copied only once.

        :param position: where the unread part of ``data`` begins; what precedes it is forwarded.
        """
        if self._state is _State.HEAD_START:
            return self._read_head_start(data, at_end, position)
        if self._state is _State.HEAD:
            return self._read_head(data, at_end, position)
        return self._read_head_end(data, at_end, position)

    def _read_head_start(self, data: bytes, at_end: bool, position: int) -> bytes:
        """Hold the head back until its policies are seen, and insert at its start."""
        rest = data[position:]
        end = head.find_head_end(rest, at_end)
        if end is None or not (at_end or self._charset_seen()):
            self._held.keep(rest, self.top_at, 0)
            return data[:position]
        zone = rest[:end]
        if not head.has_no_policy_or_marker(lowered(zone)):
            scan = head.scan_head(zone)
            if refusal := self._apply_policies(scan.policies, scan.has_marker):
                return self._refuse(refusal, data)
        offset: int | Refusal = 0
        if not self._charset_known:
            offset = head.insertion_offset(self._start, self.top_at, rest[: charset.PRESCAN_BYTES], len(self.top))
        if isinstance(offset, Refusal):
            return self._refuse(offset, data)
        self.top_at += offset
        return self._insert(data, position + offset, at_end)

    def _read_head(self, data: bytes, at_end: bool, position: int) -> bytes:
        """Read the head up to its end, and insert there."""
        reader = self._head_reader
        if reader is None:
            reader = self._head_reader = XmlHeadReader() if self._spec.xhtml else HeadReader(xhtml=False)
        reader.position = position
        reader.read(data, at_end)
        end = reader.position
        self.top_at += end - position
        if self._spec.after_base is not None and not self._is_after_base:
            self._is_after_base = has_base(data, position, end)
        if reader.ended:
            refusal = self._apply_policies(tuple(reader.policies), reader.has_marker)
            if refusal is None:
                self._state = _State.HEAD_END
                return self._read_head_end(data, at_end, end)
        else:
            self._held.keep(data[end:], self.top_at, 0 if reader.in_text else len(data) - end)
            refusal = self._head_refusal(reader, at_end)
        return self._refuse(refusal, data) if refusal else data[:end]

    def _head_refusal(self, reader: HeadReader, at_end: bool) -> Refusal | None:
        """Why the head's end cannot be found any more; None if it can."""
        if at_end and not reader.stopped:
            return Refusal.NOWHERE
        return Refusal.UNSURE if reader.stopped or self._holds_too_much() else None

    def _read_head_end(self, data: bytes, at_end: bool, position: int) -> bytes:
        """Insert at the head's end, once the encoding is known."""
        if not (at_end or self._charset_seen()):
            self._held.keep(data[position:], self.top_at, 0)
            return data[:position]
        if self._is_after_base and self._spec.after_base is not None:
            self.top, self.bottom = self._spec.after_base()
        refusal = None if self._charset_known else self._charset_refusal()
        return self._refuse(refusal, data) if refusal else self._insert(data, position, at_end)

    def _charset_seen(self) -> bool:
        return (
            self._charset_known or len(self._start) >= charset.PRESCAN_BYTES or charset.prescan(self._start) is not None
        )

    def _charset_refusal(self) -> Refusal | None:
        """Why nothing may be inserted where the head ends, by what the page's first bytes say of its encoding."""
        meta = charset.prescan(self._start)
        if meta is None or meta.stays_in_prescan(self.top_at, len(self.top)):
            return None if meta is None or charset.is_ascii_compatible(meta.name) else Refusal.CHARSET
        return Refusal.UNSURE

    def _apply_policies(self, policies: tuple[str, ...], has_marker: bool) -> Refusal | None:
        if has_marker:
            return Refusal.MARKED
        if policies and self._spec.on_policies:
            snippets = self._spec.on_policies(policies)
            if isinstance(snippets, str):
                self.directive = snippets
                return Refusal.CSP
            self.top, self.bottom = snippets
        return None

    def _insert(self, data: bytes, position: int, at_end: bool) -> bytes:
        self.inserted = bool(self.top)
        self._held = HeldInput()
        self._start = b""
        if not self.bottom:
            self.done = True
            view = memoryview(data)
            return b"".join((view[:position], self.top, view[position:]))
        self._state = _State.BODY
        self._body_end_inserter = BodyEndInserter(self.bottom, self._spec.xhtml, self._spec.after_base)
        return data[:position] + self.top + self._read_body(data[position:], at_end)

    def _read_body(self, chunk: bytes, at_end: bool) -> bytes:
        inserter = self._body_end_inserter
        assert inserter is not None
        output = inserter.feed(chunk, at_end)
        if inserter.inserted:
            self.inserted = True
            self.bottom_at = self.top_at + inserter.inserted_at
        return output

    def _refuse(self, refusal: Refusal, held: bytes) -> bytes:
        self.refusal = refusal
        self.done = True
        self._held = HeldInput()
        self._start = b""
        return held
