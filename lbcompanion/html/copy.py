"""The copy of a page: what was excluded and what is masked is left out of it, everything else stays byte for byte.

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

_MARK = re.compile(rb"<!--\s*(/?)lbc:exclude\s*-->", re.IGNORECASE)
_MARK_WORD = b"lbc:exclude"

# The rewriter takes the content of noscript for text; a reader without scripts does not.
_NOSCRIPT = re.compile(rb"(<noscript(?=[\s/>])[^<>]*>)(.*?)(</noscript|\Z)", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"[A-Za-z0-9_-]+|[^\x00-\x7f]")
_WHOLE_SELECTOR = re.compile(r"""[A-Za-z0-9_\-\s*.#>+~=^$|"'\[\]]+""", re.ASCII)
_FLAG = re.compile(r"\s+[is]\s*\]")


class CopyError(CompanionError):
    """A copy could not be made without what was to be left out: none may be kept."""


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
        self._words = [(selector, sorted(_words_of(selector), key=len, reverse=True)) for selector in self._selectors]

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


def _words_of(selector: str) -> tuple[bytes, ...]:
    """What stands in every page in which the selector matches, in lower case; nothing where that is not plain."""
    if not _WHOLE_SELECTOR.fullmatch(selector):
        return ()
    words = _WORD.findall(_FLAG.sub("]", selector).lower())
    return tuple(word.encode() for word in dict.fromkeys(words) if len(word) > 1)


class _Mask:
    """Takes values and contents away; :ivar used: whether it was called at all."""

    def __init__(self) -> None:
        self.used = False
        self.error: BaseException | None = None

    def element(self, element: lolhtml.Element) -> None:
        self.used = True
        try:
            for name in ("checked", "selected"):
                if element.has_attribute(name):
                    element.remove_attribute(name)
            held_in = "content" if element.tag_name == "meta" else "value"
            if element.has_attribute(held_in):
                element.set_attribute(held_in, "")
            element.set_inner_content("", lolhtml.ContentType.TEXT)
        except Exception as error:
            self.error = error
            raise


def make_copy(body: bytes, exclude_blocks: bool, masks: Masks | None, charset: str | None = None) -> bytes:
    """Make the copy of a page.

    :param body: the page as the application made it, content coding undone.
    :param exclude_blocks: leave out what stands between ``<!-- lbc:exclude -->`` and ``<!-- /lbc:exclude -->``.
    :param charset: the page's encoding as its ``Content-Type`` names it; None where it names none.
    :returns: ``body`` itself where nothing is left out.
    :raises CopyError: where it is not sure that all is left out; the page must not be kept then.
    """
    if not exclude_blocks and masks is None:
        return body
    if charset != "utf-8":
        charset = charset or charsets.of_page(b"", body[: charsets.PRESCAN_BYTES])
    if charset == "utf-8" or charsets.is_ascii_superset(charset):
        return _copy(body, exclude_blocks, masks)
    return _transcoded(body, charset or "", lambda page: _copy(page, exclude_blocks, masks))


def _transcoded(body: bytes, charset: str, make: Callable[[bytes], bytes]) -> bytes:
    codec = charsets.codec_of(charset)
    try:
        page = body.decode(codec).encode()
        copy = make(page)
        return body if copy is page else copy.decode().encode(codec)
    except (UnicodeError, LookupError):
        raise CopyError("the page is not in the encoding that it names") from None


def _copy(body: bytes, exclude_blocks: bool, masks: Masks | None) -> bytes:
    page = lowered(body)
    excludes = exclude_blocks and find(page, _MARK_WORD) >= 0
    selectors = masks.candidates(page) if masks else []
    if not (excludes or selectors):
        return body
    marks = _marks(body) if excludes else []
    masked = _masked(body, selectors) if selectors else body
    if not marks:
        return masked
    if masked is not body and _unbalanced(_marks(masked)) != _unbalanced(marks):
        raise CopyError("an excluded block and a masked element overlap")
    return _without_blocks(masked)


def _marks(body: bytes) -> list[bool]:
    """Which marks there are: True for one that opens."""
    return [not mark.group(1) for mark in _MARK.finditer(body)]


def _unbalanced(marks: list[bool]) -> list[bool]:
    left: list[bool] = []
    for opens in marks:
        if not opens and left and left[-1]:
            left.pop()
        else:
            left.append(opens)
    return left


def _without_blocks(body: bytes) -> bytes:
    kept = []
    depth = position = 0
    for mark in _MARK.finditer(body):
        if not mark.group(1):
            if depth == 0:
                kept.append(body[position : mark.start()])
            depth += 1
        elif depth:
            depth -= 1
            position = mark.end()
    if not depth:
        kept.append(body[position:])
    return b"".join(kept)


def _masked(body: bytes, selectors: list[str]) -> bytes:
    copy = _rewritten(body, selectors)

    def inside(found: re.Match[bytes]) -> bytes:
        return found.group(1) + _rewritten(found.group(2), selectors) + found.group(3)

    without = _NOSCRIPT.sub(inside, copy)
    return copy if without == copy else without


def _rewritten(body: bytes, selectors: list[str]) -> bytes:
    pieces: list[bytes] = []
    mask = _Mask()
    try:
        rewriter = lolhtml.HTMLRewriter(lambda piece: pieces.append(bytes(piece)))
        for selector in selectors:
            rewriter.on(selector, mask)
        rewriter.write(body)
        rewriter.end()
    except BaseException as error:
        # A panic of the engine's is no Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise CopyError("the mask engine failed") from None
    if mask.error is not None:
        raise CopyError("a mask failed")
    return b"".join(pieces) if mask.used else body
