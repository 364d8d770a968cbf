"""Redaction of copies: excluded blocks and masked elements are removed; everything else stays byte for byte.

Masks are CSS selectors, applied by the streaming rewriter lol-html. It is started only where a page has all the words
of a selector in it; a page in which nothing matches is given back as it came.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import lolhtml

from lbcompanion.errors import CompanionError
from lbcompanion.html import charset as charsets
from lbcompanion.html.bytesearch import find, lowered

_EXCLUDE_MARKER = re.compile(rb"<!--\s*(/?)lbc:exclude\s*-->", re.IGNORECASE)
_EXCLUDE_WORD = b"lbc:exclude"

# The rewriter takes the content of noscript for text; a reader without scripts does not.
_NOSCRIPT = re.compile(rb"(<noscript(?=[\s/>])[^<>]*>)(.*?)(</noscript|\Z)", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"[A-Za-z0-9_-]+|[^\x00-\x7f]")
_WHOLE_SELECTOR = re.compile(r"""[A-Za-z0-9_\-\s*.#>+~=^$|"'\[\]]+""", re.ASCII)
_FLAG = re.compile(r"\s+[is]\s*\]")


class RedactionError(CompanionError):
    """A copy could not be redacted, so it must not be stored."""


class Masks:
    """CSS selectors of what is masked.

    :param selectors: as in ``capture.mask``.
    :raises ValueError: for a selector that the rewriter does not know; the message names it.
    """

    def __init__(self, selectors: Iterable[str]) -> None:
        self._selectors = tuple(selectors)
        for selector in self._selectors:
            self._check(selector)
        # Long words come first: most pages lack them, and are done with by one look.
        self._words = [
            (selector, sorted(_required_words(selector), key=len, reverse=True)) for selector in self._selectors
        ]

    @staticmethod
    def _check(selector: str) -> None:
        try:
            rewriter = lolhtml.HTMLRewriter(lambda _: None)
            rewriter.on(selector, _Mask())
            rewriter.write(b"<p>")
            rewriter.end()
        except Exception:
            raise ValueError(f"not a CSS selector that can be used for a mask: {selector}") from None

    def candidates(self, page: bytes) -> list[str]:
        """The selectors that may match somewhere in this page, which comes in lower case; told by their words alone."""
        found = []
        for selector, words in self._words:
            for word in words:
                if find(page, word) < 0:
                    break
            else:
                found.append(selector)
        return found


def _required_words(selector: str) -> tuple[bytes, ...]:
    """What stands in every page in which the selector matches, in lower case; nothing where that is not plain."""
    if not _WHOLE_SELECTOR.fullmatch(selector):
        return ()
    words = _WORD.findall(_FLAG.sub("]", selector).lower())
    return tuple(word.encode() for word in dict.fromkeys(words) if len(word) > 1)


class _Mask:
    """Removes values and contents.

    :ivar matched: whether any element matched.
    """

    def __init__(self) -> None:
        self.matched = False
        self.error: BaseException | None = None

    def element(self, element: lolhtml.Element) -> None:
        self.matched = True
        try:
            for name in ("checked", "selected"):
                if element.has_attribute(name):
                    element.remove_attribute(name)
            attribute = "content" if element.tag_name == "meta" else "value"
            if element.has_attribute(attribute):
                element.set_attribute(attribute, "")
            element.set_inner_content("", lolhtml.ContentType.TEXT)
        except Exception as error:
            self.error = error
            raise


def redact(body: bytes, exclude_blocks: bool, masks: Masks | None, charset: str | None = None) -> bytes:
    """Redact the copy of a page.

    :param body: the page as the application made it, content coding undone.
    :param exclude_blocks: leave out what stands between ``<!-- lbc:exclude -->`` and ``<!-- /lbc:exclude -->``.
    :param charset: the page's encoding as its ``Content-Type`` names it; None where it names none.
    :returns: ``body`` itself where nothing is left out.
    :raises CopyError: where it is not sure that all is left out; the page must not be kept then.
    """
    if not exclude_blocks and masks is None:
        return body
    if charset != "utf-8":
        charset = charset or charsets.page_charset(b"", body[: charsets.PRESCAN_BYTES])
    if charset == "utf-8" or charsets.is_ascii_compatible(charset):
        return _redacted(body, exclude_blocks, masks)
    return _transcoded(body, charset or "", lambda page: _redacted(page, exclude_blocks, masks))


def _transcoded(body: bytes, charset: str, redact_utf8: Callable[[bytes], bytes]) -> bytes:
    codec = charsets.python_codec(charset)
    try:
        page = body.decode(codec).encode()
        redacted = redact_utf8(page)
        return body if redacted is page else redacted.decode().encode(codec)
    except (UnicodeError, LookupError):
        raise RedactionError("the page is not in the encoding that it names") from None


def _redacted(body: bytes, exclude_blocks: bool, masks: Masks | None) -> bytes:
    page = lowered(body)
    excludes = exclude_blocks and find(page, _EXCLUDE_WORD) >= 0
    selectors = masks.candidates(page) if masks else []
    if not (excludes or selectors):
        return body
    markers = _exclude_markers(body) if excludes else []
    masked = _apply_masks(body, selectors) if selectors else body
    if not markers:
        return masked
    if masked is not body and _unbalanced(_exclude_markers(masked)) != _unbalanced(markers):
        raise RedactionError("an excluded block and a masked element overlap")
    return _remove_blocks(masked)


def _exclude_markers(body: bytes) -> list[bool]:
    """Which marks there are: True for one that opens."""
    return [not marker.group(1) for marker in _EXCLUDE_MARKER.finditer(body)]


def _unbalanced(markers: list[bool]) -> list[bool]:
    unmatched: list[bool] = []
    for opens in markers:
        if not opens and unmatched and unmatched[-1]:
            unmatched.pop()
        else:
            unmatched.append(opens)
    return unmatched


def _remove_blocks(body: bytes) -> bytes:
    pieces = []
    depth = position = 0
    for marker in _EXCLUDE_MARKER.finditer(body):
        if not marker.group(1):
            if depth == 0:
                pieces.append(body[position : marker.start()])
            depth += 1
        elif depth:
            depth -= 1
            position = marker.end()
    if not depth:
        pieces.append(body[position:])
    return b"".join(pieces)


def _apply_masks(body: bytes, selectors: list[str]) -> bytes:
    redacted = _rewrite(body, selectors)

    def masked_noscript(found: re.Match[bytes]) -> bytes:
        return found.group(1) + _rewrite(found.group(2), selectors) + found.group(3)

    masked = _NOSCRIPT.sub(masked_noscript, redacted)
    return redacted if masked == redacted else masked


def _rewrite(body: bytes, selectors: list[str]) -> bytes:
    pieces: list[bytes] = []
    mask = _Mask()
    try:
        rewriter = lolhtml.HTMLRewriter(lambda piece: pieces.append(bytes(piece)))
        for selector in selectors:
            rewriter.on(selector, mask)
        rewriter.write(body)
        rewriter.end()
    except BaseException as error:
        # A panic of the Rust engine is not derived from Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise RedactionError("the mask engine failed") from None
    if mask.error is not None:
        raise RedactionError("a mask failed")
    return b"".join(pieces) if mask.matched else body
