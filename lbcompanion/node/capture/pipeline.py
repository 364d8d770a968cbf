"""The pipeline of one page: decodes, copies, injects and encodes it. Fails open at every step.

A coded body that cannot be decoded passes unchanged if no byte of it was sent yet. After the first byte it cannot be
continued: then the response has to end in a way that the visitor notices (:attr:`CapturePipeline.broken`), as the
application's own bytes would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from lbcompanion.html.inject import Injector
from lbcompanion.html.page_detection import Eligibility
from lbcompanion.http1.codings import CodingError, Decoder, Encoder, decode_whole, encode_whole
from lbcompanion.http1.heads import RequestHead, ResponseHead
from lbcompanion.node.capture.page_copy import CaptureLimits, CopyFacts, finish_copy
from lbcompanion.node.metrics.counters import Counters

if TYPE_CHECKING:
    from lbcompanion.node.copies.service import Copies


# The expansion ratio is checked beyond this size only.
_SMALL_BYTES = 65536
# One read from the application may always decode to this size, and beyond it to ``expansion_ratio`` times its own.
_MAX_TURN_BYTES = 16777216


class PageContext(NamedTuple):
    """The facts about a page that its heads show.

    :ivar origin: the public origin of the request.
    """

    request: RequestHead
    head: ResponseHead
    origin: str
    captured_at: float
    eligibility: Eligibility


class PageInsertion(Protocol):
    """The insertion into one page."""

    def transform_whole(self, page: bytes) -> list[bytes] | None:
        """Insert into a page in one piece; return the result in pieces, or None if only the injector can do it."""
        ...

    def injector(self) -> Injector:
        """The injector for all other pages."""
        ...


class CapturePipeline:
    """Copies one page, and inserts the script into it.

    :param coding: the content coding; empty for none.
    :param insertion: None only copies the page; the visitor gets the original bytes.
    :ivar broken: why the response has to be cut after the bytes returned last; empty if it goes on.
    """

    # Class-level defaults of rarely set attributes: most instances pay nothing for them.
    broken = ""
    _started = False
    _decoder: Decoder | None = None
    _encoder: Encoder | None = None
    _injector: Injector | None = None
    # The coded input as long as nothing was sent; None afterwards.
    _unsent_input: list[bytes] | None = None
    _passes_unchanged = False
    # Nothing is sent before the end of the body.
    _is_whole = False
    _injection_off = False

    def __init__(
        self,
        *,
        token: str,
        page_context: PageContext,
        capture_limits: CaptureLimits,
        copies: Copies,
        counters: Counters,
        coding: bytes,
        insertion: PageInsertion | None,
    ) -> None:
        self._token = token
        self._page_context = page_context
        self._limits = capture_limits
        self._copies = copies
        self._counters = counters
        self._coding = coding
        self._insertion = insertion
        self._copy_parts: list[bytes] | None = []
        self._copy_bytes = 0
        self._no_copy_reason = ""
        self.same_length = insertion is None

    def _start(self) -> None:
        """Prepare for a page in pieces, or an unusual page."""
        self._started = True
        coding = self._coding
        self._decoder = Decoder(coding) if coding else None
        if self._insertion is not None:
            self._injector = self._insertion.injector()
            if coding:
                self._encoder = Encoder(coding)
                self._unsent_input = []

    def transform_whole(self, data: bytes) -> list[bytes]:
        """Transform a body in one piece."""
        if data and not self._started and self._insertion is not None:
            pieces = self._inject_fast(data) if not self._coding else self._inject_fast_coded(data)
            if pieces is not None:
                self._counters.injected += 1
                self._counters.remember(self._page_context.request.path, "", "")
                return pieces
        self._is_whole = True
        pieces = [self.feed(data) if data else b"", self.finish()]
        return [data] if self._passes_unchanged else pieces

    def _inject_fast(self, page: bytes) -> list[bytes] | None:
        """Insert into a usual page; None for any other."""
        insertion = self._insertion
        if len(page) > self._limits.max_page_bytes or insertion is None:
            return None
        try:
            pieces = insertion.transform_whole(page)
        except Exception as error:
            self._counters.failed_open[f"injection: {type(error).__name__}"] += 1
            return None
        if pieces is not None:
            self._add_to_copy(page)
        return pieces

    def _inject_fast_coded(self, data: bytes) -> list[bytes] | None:
        """Insert into a usual page with a content coding; None if it cannot be decoded within the limits."""
        try:
            page = decode_whole(self._coding, data, max_decoded_bytes(self._limits, len(data)))
        except CodingError:
            return None
        pieces = self._inject_fast(page)
        return None if pieces is None else [encode_whole(self._coding, b"".join(pieces))]

    def feed(self, data: bytes) -> bytes:
        """Take body bytes; return the bytes for the visitor."""
        if not self._started:
            self._start()
        if self._decoder is None:
            out = self._inject(data)
            return data if self._injector is None else out
        if self._passes_unchanged:
            return data
        if self.broken:
            return b""
        if self._injector is None or self._encoder is None:
            self._decode_for_copy(data)
            return data
        return self._recode(data)

    def _decode_for_copy(self, data: bytes) -> None:
        """Decode for the copy only."""
        assert self._decoder is not None
        if self._copy_parts is None:
            return
        try:
            for piece in self._decoder.decode(data):
                self._add_to_copy(piece)
                if self._no_copy_reason:
                    return
        except CodingError as error:
            self._stop_copy(error.why)

    def _recode(self, data: bytes) -> bytes:
        """Decode, copy, insert and encode; return the coded bytes for the visitor."""
        assert self._decoder is not None
        assert self._encoder is not None
        if self._unsent_input is not None:
            self._unsent_input.append(data)
            if self._decoder.bytes_in + len(data) > self._limits.max_page_bytes:
                # A coded body may be long without any content.
                self._stop_copy("larger than max_page_bytes")
                return self._pass_unchanged()
        out: list[bytes] = []
        turn_bytes = 0
        max_turn_bytes = max(_MAX_TURN_BYTES, int(len(data) * self._limits.expansion_ratio))
        try:
            for piece in self._decoder.decode(data):
                page = self._inject(piece)
                if self._no_copy_reason and self._unsent_input is not None:
                    # The page expands beyond the limits: recoding it would block all other visitors.
                    return self._pass_unchanged()
                if page:
                    out.append(self._encoder.feed(page))
                turn_bytes += len(piece)
                if turn_bytes > max_turn_bytes:
                    # More in one turn would block all other visitors, and the coded bytes cannot follow.
                    raise CodingError("grows more than expansion_ratio")
        except CodingError as error:
            self._stop_copy(error.why)
            if self._unsent_input is not None:
                return self._pass_unchanged()
            out.append(self._break(error.why))
        sent = b"".join(out)
        if sent and not self._is_whole:
            self._unsent_input = None
        return sent

    def _pass_unchanged(self) -> bytes:
        """Let the body pass as the application coded it; return its bytes up to here."""
        assert self._unsent_input is not None
        self._passes_unchanged = True
        self._counters.count_not_injected(self._page_context.request.path, self._no_copy_reason)
        coded, self._unsent_input = b"".join(self._unsent_input), None
        return coded

    def _break(self, why: str) -> bytes:
        """Have the response cut; return the last bytes for the visitor, which do not end the coded stream."""
        assert self._encoder is not None
        assert self._injector is not None
        self.broken = why
        self._count_injection(self._injector)
        return self._encoder.feed(self._release_held())

    def _inject(self, piece: bytes) -> bytes:
        """Copy decoded bytes, and insert into them."""
        self._add_to_copy(piece)
        if self._injector is None or self._injection_off:
            return piece
        try:
            return self._injector.feed(piece)
        except Exception as error:
            return self._injection_failed(error, piece)

    def _injection_failed(self, error: Exception, piece: bytes) -> bytes:
        """After an internal error the held bytes and the rest of the page pass unchanged."""
        self._counters.failed_open[f"injection: {type(error).__name__}"] += 1
        self._injection_off = True
        return self._release_held() + piece

    def _release_held(self) -> bytes:
        if self._injector is None:
            return b""
        try:
            return self._injector.flush()
        except Exception:
            self._counters.failed_open["injection: held"] += 1
            return b""

    def _add_to_copy(self, piece: bytes) -> None:
        parts = self._copy_parts
        if parts is None:
            return
        size = len(piece)
        self._copy_bytes += size
        counters = self._counters
        counters.capturing_bytes += size
        parts.append(piece)
        capture_limits = self._limits
        if self._copy_bytes > capture_limits.max_page_bytes:
            self._stop_copy("larger than max_page_bytes")
        elif counters.capturing_bytes > capture_limits.capturing_bytes:
            self._stop_copy("capture memory is full")
        elif (
            self._decoder is not None
            and self._copy_bytes > _SMALL_BYTES
            and self._copy_bytes > self._decoder.bytes_in * capture_limits.expansion_ratio
        ):
            self._stop_copy("grows more than expansion_ratio")

    def _stop_copy(self, why: str) -> None:
        if self._copy_parts is not None:
            self._counters.capturing_bytes -= self._copy_bytes
            self._copy_parts = None
            self._no_copy_reason = why

    def finish(self) -> bytes:
        """End a complete body; return the last bytes for the visitor."""
        if not self._started:
            self._start()
        if self.broken or self._passes_unchanged:
            return b""
        rest = self._check_end()
        if rest is not None:
            return rest
        if self._injector is None:
            return b""
        try:
            out = b"" if self._injection_off else self._injector.finish()
        except Exception as error:
            out = self._injection_failed(error, b"")
        self._count_injection(self._injector)
        if self._encoder is None:
            return out
        if self._decoder is None or not self._decoder.bytes_in:
            # An empty coded body stays empty.
            return b""
        return self._encoder.finish(out)

    def _check_end(self) -> bytes | None:
        """Check that the coded body is complete; if it is not, return the last bytes for the visitor."""
        if self._decoder is None or (self._copy_parts is None and self._encoder is None):
            return None
        try:
            self._decoder.finish()
        except CodingError as error:
            self._stop_copy(error.why)
            if self._encoder is not None:
                return self._pass_unchanged() if self._unsent_input is not None else self._break(error.why)
        return None

    def _count_injection(self, injector: Injector) -> None:
        path = self._page_context.request.path
        if injector.inserted:
            self._counters.injected += 1
            self._counters.remember(path, "", "")
            return
        why = injector.refusal.value if injector.refusal is not None else "failed"
        self._counters.count_not_injected(path, f"{why}: {injector.directive}" if injector.directive else why)

    def written(self) -> None:
        """Finish the copy and store it, after the visitor's last byte."""
        parts, self._copy_parts = self._copy_parts, None
        if parts is None:
            self._copies.record_loss(self._token, self._no_copy_reason)
            return
        self._counters.capturing_bytes -= self._copy_bytes
        request, head, origin, captured_at, eligibility = self._page_context
        finish_copy(
            CopyFacts(
                self._token,
                origin + request.target.decode("latin-1"),
                request.method.decode("ascii"),
                head,
                head.values[b"content-type"],
                captured_at,
                eligibility,
                request.values.get(b"cookie", b""),
            ),
            parts[0] if len(parts) == 1 else b"".join(parts),
            capture_limits=self._limits,
            copies=self._copies,
            counters=self._counters,
        )

    def abort(self, why: str) -> bytes:
        """Drop the copy of an incomplete body; return the bytes that were held back for the visitor."""
        self._stop_copy(why)
        self._copies.record_loss(self._token, self._no_copy_reason)
        if self._unsent_input is not None:
            coded, self._unsent_input = b"".join(self._unsent_input), None
            return coded
        if self._injector is None or self._passes_unchanged or self.broken:
            return b""
        held = self._release_held()
        return held if self._encoder is None else self._encoder.feed(held)


def max_decoded_bytes(capture_limits: CaptureLimits, coded_bytes: int) -> int:
    """How many bytes a body of ``coded_bytes`` may decode to, if it is to be captured."""
    return min(capture_limits.max_page_bytes, max(_SMALL_BYTES, int(coded_bytes * capture_limits.expansion_ratio)))
