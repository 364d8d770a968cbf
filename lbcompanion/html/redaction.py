"""Redaction of copies: excluded blocks and masked elements are removed; everything else stays byte for byte.

Everything is decided by a tokenizer as browsers have it with scripts on. Where that is not certain, there is no copy.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

import lolhtml
from attrs import evolve, field, frozen

from lbcompanion.html import charset as charsets
from lbcompanion.html.bytesearch import find, lowered, split
from lbcompanion.html.character_references import attribute_value
from lbcompanion.html.exclude_marks import EXCLUDE_WORD, Mark, blocks, is_mark, unbalanced
from lbcompanion.html.masks import (
    Enclose,
    Masks,
    RedactionError,
    limit_search_steps,
    rewritten,
    unique_word,
)
from lbcompanion.html.nesting import foreign_content_is_certain, foreign_content_is_left_together
from lbcompanion.html.tokenizer_patterns import ATTRIBUTE, START_TAG, TAG_NAME
from lbcompanion.html.xml_redaction import redact_xml

__all__ = ["Masks", "RedactionError", "redact"]

_EXCLUDE_MARKER = re.compile(rb"<!--\s*(?:(/)lbc:exclude\s*-->|lbc:exclude\s*(?:--!?>|\Z))", re.IGNORECASE)
_FRAME_WORD = b"srcdoc"
_NOSCRIPT_WORD = b"<noscript"
_START_TAG = re.compile(START_TAG)
# Encodings in which ASCII bytes have other meanings, by their names in Python.
_WIDE_CODECS = ("utf-16le", "utf-16be", "iso2022_jp")
# Documents within attributes of documents: deeper ones are emptied.
_MAX_FRAME_DEPTH = 3
# Pieces of one page that are read for themselves, documents in attributes and contents of noscript: each takes 0.1 ms.
_MAX_PIECES = 500


class _Budget:
    """Counts the pieces of a page that are read for themselves."""

    def __init__(self) -> None:
        self._pieces = 0

    def spend(self) -> None:
        """Count one more.

        :raises RedactionError: when there are too many.
        """
        self._pieces += 1
        if self._pieces > _MAX_PIECES:
            raise RedactionError("too many documents within the page")


@frozen
class _Plan:
    """The parts that are removed from one page.

    :ivar frame_depth: in how many ``srcdoc`` attributes the page is.
    :ivar utf8: whether the page is in UTF-8, as far as is known.
    :ivar removed: what is removed, by kinds.
    """

    exclude_blocks: bool
    masks: Masks | None
    budget: _Budget
    frame_depth: int = 0
    utf8: bool = True
    removed: defaultdict[str, int] = field(factory=lambda: defaultdict(int))


def redact(
    body: bytes,
    *,
    exclude_blocks: bool,
    masks: Masks | None,
    charset: str | None = None,
    xhtml: bool = False,
    removed: defaultdict[str, int] | None = None,
) -> bytes:
    """Redact the copy of a page.

    :param body: the page as the application made it, content coding undone.
    :param exclude_blocks: leave out what stands between ``<!-- lbc:exclude -->`` and ``<!-- /lbc:exclude -->``.
    :param charset: the page's encoding as its ``Content-Type`` or its byte order mark names it; None where neither
        does.
    :param xhtml: browsers read the page as XML.
    :param removed: counts what is removed, if anything is: masked ``elements``, excluded ``blocks``, and ``documents``
        in frames that cannot be read. A masked element within an excluded block counts, too.
    :returns: ``body`` itself where nothing is left out.
    :raises RedactionError: where it is not certain that all is left out; the page must not be kept then.
    """
    if not exclude_blocks and masks is None:
        return body
    is_usual = charset == "utf-8" and not xhtml
    if is_usual and not _words_of_interest(lowered(body), exclude_blocks=exclude_blocks, masks=masks):
        return body
    counted: defaultdict[str, int] = defaultdict(int) if removed is None else removed
    if xhtml:
        plan = _Plan(exclude_blocks, masks, _Budget(), frame_depth=1, removed=counted)
        return redact_xml(
            body,
            exclude_blocks=exclude_blocks,
            masks=masks,
            charset=charset,
            redact_document=lambda document: _redacted(document, plan),
            removed=counted,
        )
    plan = _Plan(exclude_blocks, masks, _Budget(), removed=counted)
    if charset != "utf-8":
        charset = charset or charsets.page_charset(b"", body[: charsets.PRESCAN_BYTES])
    if charset == "utf-8" or charset is None:
        return _redacted(body, plan)
    codec = charsets.python_codec(charset)
    # Browsers read an unknown encoding as one in which ASCII bytes mean ASCII characters.
    if codec not in _WIDE_CODECS and (masks is None or masks.ascii_only):
        return _redacted(body, evolve(plan, utf8=False))
    return _transcoded(body, codec, lambda page: _redacted(page, plan))


def _words_of_interest(page: bytes, *, exclude_blocks: bool, masks: Masks | None) -> bool:
    """Whether something may have to be left out of this page, which comes in lower case."""
    return (
        (exclude_blocks and find(page, EXCLUDE_WORD) >= 0)
        or find(page, _FRAME_WORD) >= 0
        or bool(masks and masks.candidates(page))
    )


def _transcoded(body: bytes, codec: str, redact_utf8: Callable[[bytes], bytes]) -> bytes:
    try:
        page = body.decode(codec).encode()
        redacted = redact_utf8(page)
        return body if redacted is page else redacted.decode().encode(codec)
    except (UnicodeError, LookupError):
        raise RedactionError("the page is not in the encoding that it names") from None


def _redacted(body: bytes, plan: _Plan) -> bytes:
    page = lowered(body)
    has_frames = find(page, _FRAME_WORD) >= 0
    selectors = plan.masks.candidates(page) if plan.masks else []
    excludes = plan.exclude_blocks and find(page, EXCLUDE_WORD) >= 0
    if not (excludes or selectors or has_frames):
        return body
    plan.budget.spend()
    if (find(page, b"<svg") >= 0 or find(page, b"<math") >= 0) and not (
        foreign_content_is_certain(body) and foreign_content_is_left_together(body)
    ):
        raise RedactionError("it is not certain which tags browsers read in svg or math")
    redacted = _redact_frames(body, plan) if has_frames else body
    if plan.masks and selectors:
        redacted = plan.masks.apply(redacted, selectors, plan.removed)
    if find(page, _NOSCRIPT_WORD) >= 0:
        redacted = _redact_noscript(redacted, plan)
    if excludes:
        redacted = _without_blocks(body, redacted, plan.removed)
    return body if redacted == body else redacted


def _redact_noscript(body: bytes, plan: _Plan) -> bytes:
    """Redact what browsers without scripts read in ``noscript``; for the rewriter it is text.

    A block within one ``noscript`` is excluded as in a page of its own.
    """
    limit_search_steps(body)
    word = unique_word(body)
    marked = rewritten(body, [("noscript", Enclose(word))])
    # Two marks stand around the content: an even number of pieces is outside, an odd one inside.
    before = re.compile(word.encode() + rb"b\d+;")
    pieces = re.split(word.encode() + rb"[se]\d+;", before.sub(b"", marked))
    pieces[1::2] = [_redacted(piece, plan) for piece in pieces[1::2]]
    return b"".join(pieces)


class _Marker:
    """A handler that writes a word before each frame with a document of its own, and before each exclude comment."""

    def __init__(self, word: str) -> None:
        self._word = word

    def element(self, element: lolhtml.Element) -> None:
        element.before(self._word, lolhtml.ContentType.HTML)

    def comments(self, comment: lolhtml.Comment) -> None:
        if is_mark(comment.text):
            comment.before(self._word, lolhtml.ContentType.HTML)


def _redact_frames(body: bytes, plan: _Plan) -> bytes:
    """Redact the documents in ``srcdoc`` attributes."""
    limit_search_steps(body)
    word = unique_word(body)
    first, *rest = split(rewritten(body, [("iframe[srcdoc]", _Marker(word))]), word.encode())
    pieces = [first]
    for piece in rest:
        tag = _START_TAG.match(piece)
        if tag is None:
            raise RedactionError("the tag of a frame was not found")
        pieces += [_with_redacted_document(tag.group(), plan), piece[tag.end() :]]
    return b"".join(pieces)


def _with_redacted_document(tag: bytes, plan: _Plan) -> bytes:
    name = TAG_NAME.match(tag)
    position = name.end() if name else len(tag)
    pieces = [tag[:position]]
    seen = False
    while attribute := ATTRIBUTE.match(tag, position):
        start, position = position, attribute.end()
        if attribute.group(1).lower() != _FRAME_WORD:
            pieces.append(tag[start:position])
            continue
        value = next((group for group in attribute.group(2, 3, 4) if group), b"")
        document = b"" if seen else _redacted_document(value, plan)
        seen = True
        # The content of a second attribute of the name is nothing to browsers.
        pieces.append(tag[start:position] if document == value else tag[start : attribute.start(1)] + document)
    return b"".join([*pieces, tag[position:]])


def _redacted_document(value: bytes, plan: _Plan) -> bytes:
    """The whole attribute for a ``srcdoc`` with this value; the value itself where nothing is left out."""
    try:
        document: bytes | None = attribute_value(value.decode("utf-8" if plan.utf8 else "ascii")).encode()
    except UnicodeError:
        # A character of another encoding: what the document is like is not looked at.
        document = None
    if document is None or plan.frame_depth >= _MAX_FRAME_DEPTH:
        if value:
            plan.removed["documents"] += 1
        return b'srcdoc=""'
    redacted = _redacted(document, evolve(plan, frame_depth=plan.frame_depth + 1, utf8=True))
    if redacted is document:
        return value
    return b'srcdoc="' + redacted.replace(b"&", b"&amp;").replace(b'"', b"&quot;") + b'"'


def _exclude_marks(body: bytes) -> list[Mark]:
    """The marks of excluded blocks among the comments of a page."""
    word = unique_word(body)
    first, *rest = split(rewritten(body, [], _Marker(word)), word.encode())
    marks = []
    position = len(first)
    for piece in rest:
        if marker := _EXCLUDE_MARKER.match(piece):
            marks.append((position, position + marker.end(), not marker.group(1)))
        position += len(piece)
    return marks


def _without_blocks(body: bytes, redacted: bytes, removed: defaultdict[str, int]) -> bytes:
    """Remove the excluded blocks of a page.

    :param redacted: the page, masks applied.
    """
    marks = _exclude_marks(redacted)
    if redacted is not body and unbalanced(marks) != unbalanced(_exclude_marks(body)):
        raise RedactionError("an excluded block and a masked element overlap")
    pieces = []
    position = 0
    for start, end in blocks(marks, len(redacted)):
        pieces.append(redacted[position:start])
        position = end
        removed["blocks"] += 1
    pieces.append(redacted[position:])
    return b"".join(pieces)
