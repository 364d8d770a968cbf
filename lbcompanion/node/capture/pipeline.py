"""A page on its way to the visitor: decoded, copied, injected, encoded again. Fails open at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from attrs import frozen

from lbcompanion.html.charset import bom_charset, page_charset
from lbcompanion.html.inject import Injector
from lbcompanion.html.redaction import Masks, redact
from lbcompanion.http1.codings import CodingError, Decoder, Encoder, decode_whole, encode_whole
from lbcompanion.http1.heads import RequestHead, ResponseHead
from lbcompanion.model import Page
from lbcompanion.node.metrics.counters import Counters

if TYPE_CHECKING:
    from lbcompanion.node.copies.service import Copies


# So much any coded page may have.
_SMALL_BYTES = 65536


@frozen
class CaptureRules:
    """What holds for all pages of one process.

    :ivar max_page_bytes: of one copy.
    :ivar capturing_bytes: of all copies under way.
    :ivar expansion_ratio: how many times its coded size a page may have, beyond the first 64 KiB.
    :ivar kept: told of every page handed to the store, with the ``Cookie`` header it was asked with; None: nobody is.
    """

    max_page_bytes: int
    capturing_bytes: int
    expansion_ratio: float
    exclude_blocks: bool
    masks: Masks | None
    kept: Callable[[Page, bytes], None] | None


class Facts(NamedTuple):
    """What is known of a page before its body comes.

    :ivar origin: the public origin that it was asked of.
    :ivar charset: the encoding that its ``Content-Type`` names.
    """

    request: RequestHead
    head: ResponseHead
    origin: str
    captured_at: float
    charset: str | None


class Inserting(Protocol):
    """What is to be inserted into one page."""

    def whole(self, page: bytes) -> list[bytes] | None:
        """A page in one piece, with what is inserted, in pieces; None where only the machine can tell."""
        ...

    def injector(self) -> Injector:
        """The machine for all other pages."""
        ...


class Capturing:
    """The pipeline of one page.

    :param coding: the page's content coding, empty for none.
    :param insertion: None: the visitor gets the bytes as they came, and only the copy is taken.
    """

    # What most pages never need stands here, so that it costs them nothing.
    _started = False
    _decoder: Decoder | None = None
    _encoder: Encoder | None = None
    _injector: Injector | None = None
    _taken = False
    _given = False
    _broken = False
    _off = False

    def __init__(
        self,
        *,
        token: str,
        facts: Facts,
        rules: CaptureRules,
        copies: Copies,
        counters: Counters,
        coding: bytes,
        insertion: Inserting | None,
    ) -> None:
        self._token = token
        self._facts = facts
        self._rules = rules
        self._copies = copies
        self._counters = counters
        self._coding = coding
        self._insertion = insertion
        self._parts: list[bytes] | None = []
        self._size = 0
        self._why = ""
        self.same_length = insertion is None

    def _start(self) -> None:
        """The page comes in pieces, or is an unusual one."""
        self._started = True
        coding = self._coding
        self._decoder = Decoder(coding) if coding else None
        if self._insertion is not None:
            self._injector = self._insertion.injector()
            self._encoder = Encoder(coding) if coding else None

    def whole(self, data: bytes) -> list[bytes]:
        """All of the body at once."""
        if data and not self._started and self._insertion is not None:
            pieces = self._usual(data) if not self._coding else self._usual_coded(data)
            if pieces is not None:
                self._counters.injected += 1
                self._counters.decided(self._facts.request.path, "", "")
                return pieces
        return [self.feed(data) if data else b"", self.finish()]

    def _usual(self, page: bytes) -> list[bytes] | None:
        """A page of the usual kind with what is inserted; None where it is another."""
        insertion = self._insertion
        if len(page) > self._rules.max_page_bytes or insertion is None:
            return None
        try:
            pieces = insertion.whole(page)
        except Exception as error:
            self._counters.failed_open[f"injection: {type(error).__name__}"] += 1
            return None
        if pieces is not None:
            self._keep(page)
        return pieces

    def _usual_coded(self, data: bytes) -> list[bytes] | None:
        """The same for a page that is coded; what cannot be undone within bounds is left to the steps."""
        rules = self._rules
        most = min(rules.max_page_bytes, max(_SMALL_BYTES, int(len(data) * rules.expansion_ratio)))
        try:
            page = decode_whole(self._coding, data, most)
        except CodingError:
            return None
        pieces = self._usual(page)
        return None if pieces is None else [encode_whole(self._coding, b"".join(pieces))]

    def feed(self, data: bytes) -> bytes:
        """Body bytes as they came; what the visitor gets for them."""
        if not self._started:
            self._start()
        if self._decoder is None:
            out = self._page(data)
            return data if self._injector is None else out
        if self._broken:
            # Before anything of ours went out the coded bytes pass as they are; later on nothing sensible can follow.
            return b"" if self._given else data
        if self._injector is None or self._encoder is None:
            self._decode_aside(data)
            return data
        return self._recode(data)

    def _decode_aside(self, data: bytes) -> None:
        """Decode for the copy alone."""
        assert self._decoder is not None
        if self._parts is None:
            return
        try:
            for piece in self._decoder.decode(data):
                self._keep(piece)
                if self._why:
                    return
        except CodingError as error:
            self._broken = True
            self._stop_copy(error.why)

    def _recode(self, data: bytes) -> bytes:
        assert self._decoder is not None
        assert self._encoder is not None
        out: list[bytes] = []
        try:
            for piece in self._decoder.decode(data):
                page = self._page(piece)
                if self._why and not self._given and not self._taken:
                    # It grows beyond all measure, and nothing of it went out yet: it passes by as it came, since to
                    # undo and code again what a few bytes stand for would keep all other visitors waiting.
                    self._broken = True
                    return data
                if page:
                    out.append(self._encoder.feed(page))
        except CodingError as error:
            self._broken = True
            self._stop_copy(error.why)
            if not self._given and not out and not self._taken:
                return data
            self._given = True
            out.append(self._encoder.finish(self._held()))
        self._taken = True
        if out:
            self._given = True
        return b"".join(out)

    def _page(self, piece: bytes) -> bytes:
        """Plain bytes of the page, in and out."""
        self._keep(piece)
        if self._injector is None or self._off:
            return piece
        try:
            return self._injector.feed(piece)
        except Exception as error:
            return self._injection_failed(error, piece)

    def _injection_failed(self, error: Exception, piece: bytes) -> bytes:
        """An error of ours: what was held back goes out as it is, and the rest of the page too."""
        self._counters.failed_open[f"injection: {type(error).__name__}"] += 1
        self._off = True
        return self._held() + piece

    def _held(self) -> bytes:
        if self._injector is None:
            return b""
        try:
            return self._injector.flush()
        except Exception:
            self._counters.failed_open["injection: held"] += 1
            return b""

    def _keep(self, piece: bytes) -> None:
        parts = self._parts
        if parts is None:
            return
        size = len(piece)
        self._size += size
        counters = self._counters
        counters.capturing_bytes += size
        parts.append(piece)
        rules = self._rules
        if self._size > rules.max_page_bytes:
            self._stop_copy("larger than max_page_bytes")
        elif counters.capturing_bytes > rules.capturing_bytes:
            self._stop_copy("capture memory is full")
        elif (
            self._decoder is not None
            and self._size > _SMALL_BYTES
            and self._size > self._decoder.bytes_in * rules.expansion_ratio
        ):
            self._stop_copy("grows more than expansion_ratio")

    def _stop_copy(self, why: str) -> None:
        if self._parts is not None:
            self._counters.capturing_bytes -= self._size
            self._parts = None
            self._why = why

    def finish(self) -> bytes:
        """The body was whole; the last bytes for the visitor."""
        if not self._started:
            self._start()
        if self._decoder is not None and not self._broken and (self._parts is not None or self._encoder is not None):
            try:
                self._decoder.finish()
            except CodingError as error:
                self._stop_copy(error.why)
        if self._injector is None or (self._broken and self._encoder is not None):
            if self._injector is not None and self._why:
                self._counters.left_alone(self._facts.request.path, self._why)
            return b""
        try:
            out = b"" if self._off else self._injector.finish()
        except Exception as error:
            out = self._injection_failed(error, b"")
        self._count(self._injector)
        if self._encoder is None:
            return out
        if not self._taken:
            # An empty coded body stays empty.
            return b""
        return self._encoder.finish(out)

    def _count(self, injector: Injector) -> None:
        path = self._facts.request.path
        if injector.placed:
            self._counters.injected += 1
            self._counters.decided(path, "", "")
            return
        why = injector.refusal.value if injector.refusal is not None else "failed"
        self._counters.left_alone(path, f"{why}: {injector.directive}" if injector.directive else why)

    def written(self) -> None:
        """The visitor has everything: now the copy is finished and handed to the store."""
        parts, self._parts = self._parts, None
        if parts is None:
            self._copies.lost(self._token, self._why)
            return
        self._counters.capturing_bytes -= self._size
        request, head, origin, captured_at, charset = self._facts
        rules = self._rules
        try:
            made = parts[0] if len(parts) == 1 else b"".join(parts)
            page = Page(
                self._token,
                origin + request.target.decode("latin-1"),
                request.method.decode("ascii"),
                head.status,
                head.values[b"content-type"].decode("latin-1"),
                captured_at,
                self._copy_of(made, charset),
            )
        except Exception as error:
            # A copy that may still hold what was to be left out is not kept.
            self._counters.failed_open[f"copy: {type(error).__name__}"] += 1
            self._copies.lost(self._token, "masks or excluded blocks could not be taken out")
            return
        self._copies.keep(page)
        if rules.kept is not None:
            try:
                rules.kept(page, request.values.get(b"cookie", b""))
            except Exception as error:
                self._counters.failed_open[f"notice: {type(error).__name__}"] += 1

    def _copy_of(self, made: bytes, charset: str | None) -> bytes:
        rules = self._rules
        if not rules.exclude_blocks and rules.masks is None:
            return made
        if charset != "utf-8" or made[:1] in (b"\xef", b"\xfe", b"\xff"):
            charset = bom_charset(made) or charset or page_charset(b"", made[:1024])
        return redact(made, rules.exclude_blocks, rules.masks, charset)

    def abort(self, why: str) -> None:
        """The body will not be whole: no copy."""
        self._stop_copy(why)
        self._copies.lost(self._token, why)
