"""The page on its way to the visitor, with our snippets in it: a streaming machine over bytes.

However the page is cut into chunks, what comes out is the same, and without the snippets it is the page. Where
anything goes wrong in here, the page goes on as it came.
"""

from __future__ import annotations

import re

from lbcompanion.html import charset, wide
from lbcompanion.html.anchors import Anchors
from lbcompanion.html.eligible import Refusal
from lbcompanion.html.stream import Job, Machine, OnPolicies, Stream
from lbcompanion.html.whole import Whole

# As many bytes as tell a byte order mark.
_MARK_BYTES = 3


class Injector:
    """One page.

    :param top: goes to the head's start; ASCII.
    :param bottom: goes before the last ``</body>``, or to the document's end; empty: the body is not even read.
    :param xhtml: the page is read as XML.
    :param charset_known: the encoding stands in the page's ``Content-Type``, so that no ``<meta>`` matters.
    :param needs_document: a page with neither a doctype nor ``<html>`` is a fragment.
    :param on_policies: None: the policies of ``<meta>`` tags are not looked at.
    :param skip_if: pattern over the page; where it matches, nothing is inserted. The whole page is held back for it.
    :param anchors: other places than the usual ones; the whole page is held back for them too.
    :param limit_bytes: of a page that is held back whole; a larger one is left alone.
    :param utf_16: ``utf-16le`` or ``utf-16be`` where ``Content-Type`` says so; a byte order mark outdoes it.
    :ivar placed: whether anything of ours is in what came out.
    :ivar refusal: why nothing is, as far as the body tells; None while it is not decided, or where something is.
    :ivar directive: the directive that forbids it, of a policy in a ``<meta>``.
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
        anchors: Anchors | None = None,
        limit_bytes: int = 4194304,
        utf_16: str = "",
    ) -> None:
        self.placed = False
        self.refusal: Refusal | None = None
        self.directive = ""
        self._job = Job(top, bottom, xhtml, charset_known, needs_document, on_policies)
        self._skip_if = skip_if
        self._anchors = anchors
        self._limit_bytes = limit_bytes
        self._utf_16 = utf_16
        self._machine: Machine | None = None
        self._start = b""
        self._done = False

    def feed(self, chunk: bytes) -> bytes:
        """Take the next piece of the page in; gives what can be passed on by now. Never raises."""
        return chunk if self._done else self._guarded(chunk, False)

    def finish(self) -> bytes:
        """The page has ended as it should; gives what was held back. Never raises."""
        return b"" if self._done else self._guarded(b"", True)

    def held(self) -> bytes:
        """What was held back, for a page that was cut off: nothing is inserted any more."""
        left = b"" if self._done else self._machine.kept() if self._machine else self._start
        self._done, self._start = True, b""
        return left

    def _guarded(self, chunk: bytes, at_end: bool) -> bytes:
        """Fail open: whatever goes wrong in here, the page goes on as it came."""
        machine = self._machine
        held = machine.kept() if machine else self._start
        try:
            if machine is None:
                chunk = self._start + chunk
                held = b""
                if len(chunk) < _MARK_BYTES and not at_end:
                    self._start = chunk
                    return b""
                machine = self._machine = self._machine_for(chunk)
                self._start = b""
            out = machine.feed(chunk, at_end)
        except Exception:
            self.refusal = Refusal.FAILED
            self._done = True
            return held + chunk
        self.placed, self.refusal, self.directive = machine.placed, machine.refusal, machine.directive
        self._done = machine.done
        if at_end and not self.placed and self.refusal is None:
            self.refusal = Refusal.NOWHERE
        return out

    def _machine_for(self, start: bytes) -> Machine:
        told = charset.of_bom(start) or self._utf_16
        if not told.startswith("utf-16"):
            return self._plain_machine(self._job)
        return wide.Wide(self._job, told, self._plain_machine)

    def _plain_machine(self, job: Job) -> Machine:
        if self._skip_if is None and self._anchors is None:
            return Stream(job)
        return Whole(job, self._skip_if, self._anchors, self._limit_bytes)
