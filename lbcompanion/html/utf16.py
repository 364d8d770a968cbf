"""Pages in UTF-16: the machine sees one byte for each code unit, and the page's own bytes go out.

Nothing is decoded and encoded again but the snippets, so that lone surrogates and a last odd byte stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import evolve

from lbcompanion.html.charset import bom_charset
from lbcompanion.html.held_input import Mark, joined
from lbcompanion.html.page_detection import Refusal
from lbcompanion.html.stream import InjectionSpec, PageTransformer

# Placeholders for the snippets in the output of the inner transformer, as they are and behind a ``<base>``. No code
# unit is shown as one of these.
_TOP, _BOTTOM, _TOP_BEHIND_BASE, _BOTTOM_BEHIND_BASE = b"\xfe", b"\xfd", b"\xfc", b"\xfb"
_SNIPPET_MARKS = re.compile(b"([\xfb-\xfe])")
# Code units outside of ASCII have no meaning in markup; one byte stands for all of them.
_OTHER = 0xFF
_ASCII = bytes(byte if byte < 0x80 else _OTHER for byte in range(256))


class Utf16Adapter:
    """A :class:`lbcompanion.html.stream.PageTransformer` that wraps another one.

    :param encoding: ``utf-16le`` or ``utf-16be``.
    :param make_inner: makes the machine that sees the page's narrow form.
    """

    def __init__(
        self, spec: InjectionSpec, encoding: str, make_inner: Callable[[InjectionSpec], PageTransformer]
    ) -> None:
        self.inserted = False
        self.refusal: Refusal | None = None
        self.directive = ""
        self.done = False
        self._spec = spec
        self._snippets = {_TOP: spec.top, _BOTTOM: spec.bottom}
        self._inner = make_inner(
            evolve(
                spec,
                top=_TOP if spec.top else b"",
                bottom=_BOTTOM if spec.bottom else b"",
                charset_known=True,
                on_policies=self._on_policies if spec.on_policies else None,
                after_base=self._after_base if spec.after_base else None,
            )
        )
        self._encoding = encoding
        self._high_byte = 1 if encoding == "utf-16le" else 0
        self._started = False
        self._held: list[bytes] = []
        self._odd = b""

    def feed(self, chunk: bytes, at_end: bool) -> bytes:
        """Take the next piece in; the first one starts with the byte order mark if there is one."""
        data = self._odd + chunk
        byte_order_mark = b""
        if not self._started:
            self._started = True
            if bom_charset(data):
                byte_order_mark, data = data[:2], data[2:]
        even_length = len(data) & ~1
        data, self._odd = data[:even_length], data[even_length:]
        self._held.append(data)
        inner = self._inner
        out = byte_order_mark + self._with_page_bytes(inner.feed(self._one_byte_per_unit(data), at_end))
        self.inserted, self.refusal, self.directive = inner.inserted, inner.refusal, inner.directive
        if inner.done or at_end:
            self.done = True
            out += joined(self.mark())
        return out

    def mark(self) -> Mark:
        """The bytes held back now."""
        return b"", self._held, len(self._held), self._odd

    def _on_policies(self, policies: tuple[str, ...]) -> tuple[bytes, bytes] | str:
        snippets = self._spec.on_policies(policies) if self._spec.on_policies else ""
        if isinstance(snippets, str):
            return snippets
        self._snippets.update(zip((_TOP, _BOTTOM), snippets, strict=True))
        return _TOP if snippets[0] else b"", _BOTTOM if snippets[1] else b""

    def _after_base(self) -> tuple[bytes, bytes]:
        assert self._spec.after_base is not None
        top, bottom = self._spec.after_base()
        self._snippets.update({_TOP_BEHIND_BASE: top, _BOTTOM_BEHIND_BASE: bottom})
        return _TOP_BEHIND_BASE if top else b"", _BOTTOM_BEHIND_BASE if bottom else b""

    def _one_byte_per_unit(self, data: bytes) -> bytes:
        low, high = data[1 - self._high_byte :: 2].translate(_ASCII), data[self._high_byte :: 2]
        if not any(high):
            return low
        return bytes(_OTHER if more else unit for unit, more in zip(low, high, strict=True))

    def _with_page_bytes(self, out: bytes) -> bytes:
        if not out:
            return b""
        page_bytes = b"".join(self._held)
        pieces = []
        position = 0
        for piece in _SNIPPET_MARKS.split(out):
            if (snippet := self._snippets.get(piece)) is not None:
                pieces.append(snippet.decode("utf-8").encode(self._encoding))
            else:
                pieces.append(page_bytes[position : position + 2 * len(piece)])
                position += 2 * len(piece)
        self._held = [page_bytes[position:]]
        return b"".join(pieces)
