"""The injecting machine itself, over bytes in which ASCII means itself.

Bytes flow on at once but for a token that has not ended, and for the head, which is held back so that a policy in it
is seen in time (:mod:`lbcompanion.html.head`). Where the machine is not sure of what it reads, nothing is inserted.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from attrs import define

from lbcompanion.html import charset, head
from lbcompanion.html.bottom import Bottom
from lbcompanion.html.bytesearch import lowered
from lbcompanion.html.eligible import Refusal
from lbcompanion.html.prolog import Prolog

#: Asked once about a page with policies in ``<meta>`` tags: gives top and bottom with the nonce they need, or the
#: directive that forbids them.
OnPolicies = Callable[[tuple[str, ...]], tuple[bytes, bytes] | str]


@define
class Job:
    """What is to be done to one page; nobody changes it.

    :ivar top: goes to the head's start; ASCII.
    :ivar bottom: goes before the last ``</body>``, or to the document's end; empty: the body is not even read.
    :ivar xhtml: the page is read as XML.
    :ivar charset_known: the encoding stands in the page's ``Content-Type``, so that no ``<meta>`` matters.
    :ivar needs_document: a page with neither a doctype nor ``<html>`` is a fragment.
    :ivar on_policies: None: the policies of ``<meta>`` tags are not looked at.
    """

    top: bytes
    bottom: bytes = b""
    xhtml: bool = False
    charset_known: bool = False
    needs_document: bool = False
    on_policies: OnPolicies | None = None


class Machine(Protocol):
    """What takes a page in and gives it out.

    :ivar placed: whether anything of ours is in what came out.
    :ivar refusal: why nothing is, as far as the body tells; None while it is not decided, or where something is.
    :ivar directive: of a policy, the one that forbids it.
    :ivar done: whatever comes now passes as it is.
    """

    placed: bool
    refusal: Refusal | None
    directive: str
    done: bool

    def feed(self, chunk: bytes, at_end: bool) -> bytes:
        """Take the next piece in; gives what can be passed on by now."""
        ...

    def kept(self) -> bytes:
        """What is held back now."""
        ...


class _At(Enum):
    PROLOG = 1
    HEAD = 2
    BODY = 3


class Stream:
    """The usual machine.

    :ivar top_at: where the top snippet went, once it did.
    :ivar bottom_at: where the bottom snippet went; None as long as it did not.
    """

    def __init__(self, job: Job) -> None:
        self.placed = False
        self.refusal: Refusal | None = None
        self.directive = ""
        self.done = False
        self.top_at = 0
        self.bottom_at: int | None = None
        self.top = job.top
        self.bottom = job.bottom
        self._xhtml = job.xhtml
        self._charset_known = job.charset_known or job.xhtml
        self._on_policies = job.on_policies
        self._prolog = Prolog(job.xhtml, job.needs_document)
        self._bottom_machine: Bottom | None = None
        self._at = _At.PROLOG
        self._held = b""
        self._start = b""

    def feed(self, chunk: bytes, at_end: bool) -> bytes:
        """See :class:`Machine`."""
        if self._at is _At.BODY:
            return chunk if self.done else self._read_body(chunk, at_end)
        if self.done:
            return chunk
        data = self._held + chunk if self._held else chunk
        if not self._charset_known and len(self._start) < charset.PRESCAN_BYTES:
            self._start += chunk[: charset.PRESCAN_BYTES - len(self._start)]
        passed = b""
        if self._at is _At.PROLOG:
            read = self._prolog.read(data, at_end)
            if self._prolog.refusal:
                return self._refuse(self._prolog.refusal, data)
            self.top_at += read
            passed, data = data[:read], data[read:]
            if self._prolog.found:
                self._at = _At.HEAD
        if self._at is _At.HEAD:
            return passed + self._read_head(data, at_end)
        self._held = data
        return passed

    def kept(self) -> bytes:
        """See :class:`Machine`."""
        return self._bottom_machine.held() if self._bottom_machine else self._held

    def _read_head(self, data: bytes, at_end: bool) -> bytes:
        end = head.find_end(data, at_end)
        if end is None or not (at_end or self._charset_seen()):
            self._held = data
            return b""
        zone = data[:end]
        if not head.is_plain(lowered(zone)) and (refusal := self._ask(head.look_at(zone))):
            return self._refuse(refusal, data)
        offset: int | Refusal = 0
        if not self._charset_known:
            offset = head.offset_of(self._start, self.top_at, data[: charset.PRESCAN_BYTES], len(self.top))
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
            if isinstance(snippets, str):
                self.directive = snippets
                return Refusal.CSP
            self.top, self.bottom = snippets
        return None

    def _insert(self, data: bytes, offset: int, at_end: bool) -> bytes:
        self.placed = bool(self.top)
        self.top_at += offset
        passed = data[:offset] + self.top
        self._held = self._start = b""
        rest = data[offset:]
        if not self.bottom:
            self.done = True
            return passed + rest
        self._at = _At.BODY
        self._bottom_machine = Bottom(self.bottom, self._xhtml)
        return passed + self._read_body(rest, at_end)

    def _read_body(self, chunk: bytes, at_end: bool) -> bytes:
        machine = self._bottom_machine
        assert machine is not None
        passed = machine.feed(chunk, at_end)
        if machine.placed:
            self.placed = True
            self.bottom_at = self.top_at + machine.at
        return passed

    def _refuse(self, refusal: Refusal, held: bytes) -> bytes:
        self.refusal = refusal
        self.done = True
        self._held = self._start = b""
        return held
