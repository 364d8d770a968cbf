"""Redaction of XHTML. An XML parser finds elements, comments and attribute values.

The selectors are applied to a list of the page's tags, written as HTML and numbered. The removed bytes are the only
change to the page. A page from which something may have to be removed gives no copy if it is not well-formed. It gives
no copy either if it declares entities or default attributes and something is removed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from xml.parsers import expat

import lolhtml

from lbcompanion.html.bytesearch import find, lowered
from lbcompanion.html.elements import VOID
from lbcompanion.html.exclude_marks import EXCLUDE_WORD, Mark, blocks, is_mark, unbalanced
from lbcompanion.html.masks import Masks, RedactionError, bare_tag, rewritten
from lbcompanion.html.tokenizer_patterns import ATTRIBUTE, RAW_TEXT, TAG_NAME

_FRAME_WORD = b"srcdoc"
_DECLARATION = re.compile(rb"<!(?:entity|attlist)")
_ENCODING = re.compile(rb"""<\?xml[^>]*?[ \t\r\n]encoding[ \t\r\n]*=[ \t\r\n]*["']([A-Za-z0-9._-]+)["']""")
_START_TAG = re.compile(rb"""<[^\s/>]+(?:[^"'>]|"[^"]*"|'[^']*'|)*+>""")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_NUMBER = "x-element-number"
# A longer one, or one with references in it, could make a page of any size.
_MAX_ENTITY_LENGTH = 1000
# Written as HTML, these hide what follows them; they are closed at once.
_CHILDLESS = frozenset(name.decode() for name in RAW_TEXT)


def redact_xml(
    body: bytes,
    *,
    exclude_blocks: bool,
    masks: Masks | None,
    charset: str | None,
    redact_document: Callable[[bytes], bytes],
    removed: defaultdict[str, int],
) -> bytes:
    """Redact the copy of a page that browsers read as XML.

    :param charset: the page's encoding as its ``Content-Type`` or its byte order mark names it.
    :param redact_document: redacts the document of a ``srcdoc`` attribute, which is HTML in UTF-8.
    :param removed: counts what is removed.
    :returns: ``body`` itself where nothing is left out.
    :raises RedactionError: where it is not certain that all is left out; the page must not be kept then.
    """
    codec = charset or _encoding(body)
    try:
        page = body if codec == "utf-8" else body.decode(codec).encode()
        redacted = _redacted(
            page, exclude_blocks=exclude_blocks, masks=masks, redact_document=redact_document, removed=removed
        )
        if redacted is page:
            return body
        return redacted if codec == "utf-8" else redacted.decode().encode(codec)
    except (UnicodeError, LookupError):
        raise RedactionError("the page is not in the encoding that it names") from None


def _encoding(body: bytes) -> str:
    """The encoding by a page's first bytes (XML 1.0, appendix F)."""
    if body.startswith((b"<\0", b"\xff\xfe")):
        return "utf-16le"
    if body.startswith((b"\0<", b"\xfe\xff")):
        return "utf-16be"
    declaration = _ENCODING.match(body)
    name = declaration.group(1).decode().lower() if declaration else "utf-8"
    # The declaration was read byte by byte, so the page is not in UTF-16, even if the declaration names it.
    return "utf-8" if name.startswith(("utf-16", "utf8", "ucs-2", "iso-10646-ucs-2")) else name


def _redacted(
    page: bytes,
    *,
    exclude_blocks: bool,
    masks: Masks | None,
    redact_document: Callable[[bytes], bytes],
    removed: defaultdict[str, int],
) -> bytes:
    lower = lowered(page)
    # Declarations may add words to the page that its text does not contain.
    declares = bool(_DECLARATION.search(lower))
    selectors = list(masks.selectors if declares else masks.candidates(lower)) if masks else []
    excludes = exclude_blocks and find(lower, EXCLUDE_WORD) >= 0
    has_frames = find(lower, _FRAME_WORD) >= 0
    if not (declares or selectors or excludes or has_frames):
        return page
    document = _Document(page, exclude_blocks=exclude_blocks, redact_document=redact_document)
    if selectors:
        document.mask(selectors)
    return document.redacted(removed)


class _Element:
    """An element of the page.

    :ivar start: where its start tag begins.
    :ivar content: where its content begins.
    :ivar end: where its content ends.
    """

    def __init__(self, start: int, content: int, *, closed: bool) -> None:
        self.start = start
        self.content = content
        self.closed = closed
        self.end = content


class _Document:
    """One page, read as XML."""

    def __init__(self, page: bytes, *, exclude_blocks: bool, redact_document: Callable[[bytes], bytes]) -> None:
        self._page = page
        self._redact_document = redact_document
        self._exclude_blocks = exclude_blocks
        self._elements: list[_Element] = []
        self._open: list[int] = []
        self._shadow: list[str] = []
        self._marks: list[Mark] = []
        # What replaces a range of the page; a range that begins within another one is dropped.
        self._edits: list[tuple[int, int, bytes]] = []
        self._has_declarations = False
        self._masked = 0
        self._parser = parser = expat.ParserCreate("utf-8")
        parser.ordered_attributes = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        # As for a document type whose entities are known elsewhere: a reference to one is no error.
        parser.UseForeignDTD(True)
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CommentHandler = self._comment
        try:
            parser.Parse(page, True)
        except expat.ExpatError:
            raise RedactionError("the page is not well-formed XML") from None

    def _doctype(self, name: str, system_id: str | None, public_id: str | None, has_subset: bool) -> None:  # noqa: FBT001 - expat calls it
        self._has_declarations = bool(has_subset)

    def _entity(self, name: str, is_parameter: bool, value: str | None, *external: str | None) -> None:  # noqa: FBT001 - expat calls it
        if value is not None and (is_parameter or "&" in value or len(value) > _MAX_ENTITY_LENGTH):
            raise RedactionError("the page declares entities that are too complex")

    def _start(self, name: str, attributes: list[str]) -> None:
        start = self._parser.CurrentByteIndex
        tag = _START_TAG.match(self._page, start)
        number = len(self._elements)
        # An element of an entity has no tag in the page; entities must not make more of them than a page can hold.
        if (tag is None and not self._has_declarations) or number > len(self._page) // 4:
            raise RedactionError("the tag of an element was not found")
        self._elements.append(
            _Element(start, tag.end(), closed=tag.group().endswith(b"/>"))
            if tag
            else _Element(start, start, closed=True)
        )
        self._open.append(number)
        local = name.rpartition(":")[2]
        self._write_shadow(local, number, attributes)
        if tag and local.lower() == "iframe":
            self._redact_frame(tag.group(), start, attributes)

    def _write_shadow(self, local: str, number: int, attributes: list[str]) -> None:
        name = local.lower() if _NAME.fullmatch(local) and local.lower() != "plaintext" else "x-other"
        self._shadow.append(f'<{name} {_NUMBER}="{number}"')
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            quote = "'" if '"' in value and "'" not in value else '"'
            self._shadow.append(f" {key}={quote}{value.replace(quote, f'&#{ord(quote)};')}{quote}")
        self._shadow.append(f"></{name}>" if name in _CHILDLESS else ">")

    def _end(self, name: str) -> None:
        element = self._elements[self._open.pop()]
        if not element.closed:
            element.end = self._parser.CurrentByteIndex
        local = name.rpartition(":")[2].lower()
        if local not in VOID and local not in _CHILDLESS:
            self._shadow.append(f"</{local if _NAME.fullmatch(local) and local != 'plaintext' else 'x-other'}>")

    def _comment(self, text: str) -> None:
        if self._exclude_blocks and is_mark(text):
            start = self._parser.CurrentByteIndex
            self._marks.append((start, self._page.find(b"-->", start) + 3, "/" not in text))

    def _redact_frame(self, tag: bytes, start: int, attributes: list[str]) -> None:
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            document = value.encode()
            if key.lower() != _FRAME_WORD.decode() or (redacted := self._redact_document(document)) is document:
                continue
            escaped = redacted.replace(b"&", b"&amp;").replace(b"<", b"&lt;").replace(b'"', b"&quot;")
            name = TAG_NAME.match(tag)
            position = name.end() if name else len(tag)
            while attribute := ATTRIBUTE.match(tag, position):
                position = attribute.end()
                if attribute.group(1) == key.encode():
                    self._edits.append((start + attribute.start(1), start + position, b'srcdoc="%b"' % escaped))

    def mask(self, selectors: list[str]) -> None:
        """Remove what these selectors match."""
        numbers = _Numbers()
        rewritten("".join(self._shadow).encode(), [(", ".join(selectors), numbers)])
        end = 0
        for number in numbers.found:
            element = self._elements[number]
            tag = self._page[element.start : element.content]
            bare = bare_tag(tag)
            if element.start >= end:
                self._masked += bare != tag or element.end > element.content
                end = max(element.content, element.end)
            self._edits.append((element.start, element.content, bare))
            if element.end > element.content:
                self._edits.append((element.content, element.end, b""))

    def redacted(self, removed: defaultdict[str, int]) -> bytes:
        """The page without the removed parts; the page itself if nothing is removed.

        :param removed: counts what is removed.
        """
        if self._has_declarations and (self._edits or self._marks):
            raise RedactionError("the page's document type has declarations")
        contents = sorted(edit for edit in self._edits if not edit[2])
        kept = _outside(self._marks, contents)
        if unbalanced(kept) != unbalanced(self._marks):
            raise RedactionError("an excluded block and a masked element overlap")
        excluded = [(start, end, b"") for start, end in blocks(kept, len(self._page))]
        edits = sorted(
            [*self._edits, *excluded],
            key=lambda edit: (edit[0], -edit[1]),
        )
        if self._masked:
            removed["elements"] += self._masked
        if excluded:
            removed["blocks"] += len(excluded)
        pieces = []
        position = 0
        for start, end, replacement in edits:
            if start >= position:
                pieces += [self._page[position:start], replacement]
                position = end
        pieces.append(self._page[position:])
        redacted = b"".join(pieces)
        return self._page if redacted == self._page else redacted


def _outside(marks: list[Mark], contents: list[tuple[int, int, bytes]]) -> list[Mark]:
    """The marks outside of these ranges; both are in the order of the page."""
    kept = []
    index = end = 0
    for mark in marks:
        while index < len(contents) and contents[index][0] <= mark[0]:
            end = max(end, contents[index][1])
            index += 1
        if mark[0] >= end:
            kept.append(mark)
    return kept


class _Numbers:
    """A handler that collects the numbers of the elements that match."""

    def __init__(self) -> None:
        self.found: list[int] = []

    def element(self, element: lolhtml.Element) -> None:
        self.found.append(int(element.get_attribute(_NUMBER) or ""))
