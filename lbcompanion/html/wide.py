"""Pages in UTF-16: the machine sees one byte for each code unit, and the page's own bytes go out.

Nothing is decoded and encoded again but the snippets, so that lone surrogates and a last odd byte stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import evolve

from lbcompanion.html.charset import of_bom
from lbcompanion.html.eligible import Refusal
from lbcompanion.html.stream import Job, Machine

# Stand for the snippets in what the machine gives; no code unit is shown as one of these.
_TOP, _BOTTOM = b"\xfe", b"\xfd"
_MARKS = re.compile(b"([\xfd\xfe])")
# What is no ASCII has no meaning to markup: one byte for all of it.
_OTHER = 0xFF
_ASCII = bytes(byte if byte < 0x80 else _OTHER for byte in range(256))


class Wide:
    """A machine (see :class:`lbcompanion.html.stream.Machine`) around another one.

    :param encoding: ``utf-16le`` or ``utf-16be``.
    :param make: makes the machine that sees the page's narrow form.
    """

    def __init__(self, job: Job, encoding: str, make: Callable[[Job], Machine]) -> None:
        self.placed = False
        self.refusal: Refusal | None = None
        self.directive = ""
        self.done = False
        self._job = job
        self._top, self._bottom = job.top, job.bottom
        self._narrow = make(
            evolve(
                job,
                top=_TOP if job.top else b"",
                bottom=_BOTTOM if job.bottom else b"",
                charset_known=True,
                on_policies=self._asked if job.on_policies else None,
            )
        )
        self._encoding = encoding
        self._high = 1 if encoding == "utf-16le" else 0
        self._started = False
        self._waiting = b""
        self._odd = b""

    def feed(self, chunk: bytes, at_end: bool) -> bytes:
        """See :class:`lbcompanion.html.stream.Machine`; the first piece begins with the byte order mark, if any."""
        data = self._odd + chunk
        passed = b""
        if not self._started:
            self._started = True
            if of_bom(data):
                passed, data = data[:2], data[2:]
        whole = len(data) & ~1
        data, self._odd = data[:whole], data[whole:]
        self._waiting += data
        narrow = self._narrow
        out = passed + self._widened(narrow.feed(self._narrowed(data), at_end))
        self.placed, self.refusal, self.directive = narrow.placed, narrow.refusal, narrow.directive
        if narrow.done or at_end:
            self.done = True
            out += self.kept()
        return out

    def kept(self) -> bytes:
        """See :class:`lbcompanion.html.stream.Machine`."""
        return self._waiting + self._odd

    def _asked(self, policies: tuple[str, ...]) -> tuple[bytes, bytes] | str:
        told = self._job.on_policies(policies) if self._job.on_policies else ""
        if isinstance(told, str):
            return told
        self._top, self._bottom = told
        return _TOP if told[0] else b"", _BOTTOM if told[1] else b""

    def _narrowed(self, data: bytes) -> bytes:
        low, high = data[1 - self._high :: 2].translate(_ASCII), data[self._high :: 2]
        if not any(high):
            return low
        return bytes(_OTHER if more else unit for unit, more in zip(low, high, strict=True))

    def _widened(self, out: bytes) -> bytes:
        pieces = []
        position = 0
        for piece in _MARKS.split(out):
            if piece in (_TOP, _BOTTOM):
                snippet = self._top if piece == _TOP else self._bottom
                pieces.append(snippet.decode("utf-8").encode(self._encoding))
            else:
                pieces.append(self._waiting[position : position + 2 * len(piece)])
                position += 2 * len(piece)
        self._waiting = self._waiting[position:]
        return b"".join(pieces)
