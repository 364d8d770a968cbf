"""Masks: CSS selectors of the elements whose values and contents are removed from copies.

The streaming rewriter lol-html applies them. It is started only if a page contains all the words of a selector. This
module makes up for four shortcomings of the rewriter: it compares attribute values without resolving their character
references; it ends an element at an end tag that browsers may ignore; it takes quadratic time for end tags without an
element; and it overlooks elements in svg and math (:class:`_ReadsAllTokens`). If the extent of a masked element is not
certain, no copy is kept.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import unescape

import lolhtml

from lbcompanion.errors import CompanionError
from lbcompanion.html.bytesearch import find, lowered, split
from lbcompanion.html.character_references import attribute_value
from lbcompanion.html.elements import VOID
from lbcompanion.html.nesting import FORMATTING, OPTIONAL_PARENTS, closes_in_order, names, worst_search_steps
from lbcompanion.html.selectors import (
    attribute_names,
    compared_characters,
    has_combinator,
    references_to,
    required_words,
)
from lbcompanion.html.tokenizer_patterns import ATTRIBUTE, START_TAG, TAG_NAME

#: The attributes that a masked element keeps, the first of each name: what selectors, style sheets and labels need.
KEPT_ATTRIBUTES = names(
    "aria-activedescendant aria-autocomplete aria-controls aria-describedby aria-details aria-disabled"
    " aria-errormessage aria-expanded aria-haspopup aria-hidden aria-invalid aria-labelledby aria-owns aria-readonly"
    " aria-required autocapitalize autocomplete autocorrect autofocus class cols colspan dir disabled enterkeyhint for"
    " form height hidden http-equiv id inert inputmode is"
    " itemprop lang maxlength minlength multiple name part property readonly required role rows rowspan"
    " size slot spellcheck tabindex translate type width xml:lang xmlns"
)
#: The attributes that are emptied. All others are removed.
EMPTIED_ATTRIBUTES = names("value content")
# For each end tag, the rewriter searches all open elements. This number of comparisons takes 0.1 s of CPU.
_MAX_SEARCH_STEPS = 20_000_000

# If only tags before this part of a page can match, the rest is not rewritten.
_MOST_OF_PAGE = 0.75

# The start of foreign content.
_FOREIGN = re.compile(rb"<(?:svg|math)", re.IGNORECASE)

_HTML = lolhtml.ContentType.HTML
#: How many elements of one page may be masked: each takes about 20 us.
MAX_MASKED = 5_000

_END_TAG_NAME = re.compile(rb"</([A-Za-z][^\t\n\f\r />]*)")
_WHOLE_START_TAG = re.compile(START_TAG)
_TO_THE_END = names("html body")


class RedactionError(CompanionError):
    """A copy could not be redacted, so it must not be stored."""


class Masks:
    """The CSS selectors of one configuration, compiled.

    :param selectors: as in ``capture.mask``.
    :param max_elements: how many elements of one page may be masked.
    :ivar selectors: all of them.
    :ivar ascii_only: whether the selectors are written in ASCII, so that they can be compared in most encodings.
    :raises ValueError: for a selector that the rewriter does not know; the message names it.
    """

    def __init__(self, selectors: Iterable[str], max_elements: int = MAX_MASKED) -> None:
        self.selectors = tuple(selectors)
        self._max_elements = max_elements
        for selector in self.selectors:
            self._check(selector)
        self.ascii_only = all(selector.isascii() for selector in self.selectors)
        # Long words come first: most pages lack them, so one search is enough.
        self._words = [
            (selector, sorted(required_words(selector), key=len, reverse=True)) for selector in self.selectors
        ]
        self._references, self._reference_start = references_to(compared_characters(self.selectors))

    @staticmethod
    def _check(selector: str) -> None:
        try:
            rewriter = lolhtml.HTMLRewriter(lambda _: None)
            rewriter.on(selector, _Before(""))
            rewriter.write(b"<p>")
            rewriter.end()
        except Exception:
            raise ValueError(f"not a CSS selector that can be used for a mask: {selector}") from None

    def candidates(self, page: bytes) -> list[str]:
        """The selectors that may match in this page, given in lower case; decided by the words in it."""
        if self._has_references(page):
            page = self._without_references(page)
        found = []
        for selector, words in self._words:
            for word in words:
                if find(page, word) < 0:
                    break
            else:
                found.append(selector)
        return found

    def _has_references(self, page: bytes) -> bool:
        references = self._references
        return references is not None and find(page, self._reference_start) >= 0 and bool(references.search(page))

    def _without_references(self, page: bytes) -> bytes:
        references = self._references
        assert references is not None
        return lowered(references.sub(lambda found: unescape(found.group().decode("ascii")).encode(), page))

    def apply(self, body: bytes, selectors: list[str], removed: defaultdict[str, int] | None = None) -> bytes:
        """Remove from a page what these selectors match.

        :param body: HTML in UTF-8, or in another encoding in which ASCII bytes always mean ASCII characters.
        :param selectors: from :meth:`candidates`.
        :param removed: counts ``elements``: those that lost something.
        :raises RedactionError: where the extent of a masked element is not certain.
        """
        limit_search_steps(body)
        page = lowered(body)
        if not self._has_references(page):
            end = self._end_of_matches(page, selectors)
            masked = _masked_beginning(body, end, selectors, self._max_elements, removed) if end else None
            return _masked(body, selectors, self._max_elements, removed) if masked is None else masked
        plain = _PlainAttributes(body, attribute_names(selectors))
        return plain.restored(_masked(plain.body, selectors, self._max_elements, removed, plain.number))

    def _end_of_matches(self, page: bytes, selectors: list[str]) -> int:
        """An estimate of the end of the last tag that one of the selectors may match; 0 if that saves no time.

        :param page: in lower case.
        """
        last = 0
        for selector, words in self._words:
            if selector in selectors:
                if not words or has_combinator(selector):
                    return 0
                last = max(last, page.rfind(words[0]) + len(words[0]))
        end = page.find(b">", last) + 1
        return end if end < _MOST_OF_PAGE * len(page) else 0


def limit_search_steps(body: bytes) -> None:
    """Refuse a page for which the rewriter would need too much CPU time.

    :raises RedactionError: the page must not be kept then.
    """
    # The bounds that need no reading are enough for pages of some thousand tags; none is shorter than three bytes.
    if (len(body) // 6) ** 2 <= _MAX_SEARCH_STEPS:
        return
    ends = body.count(b"</")
    if ends * (body.count(b"<") - ends) > _MAX_SEARCH_STEPS and worst_search_steps(body) > _MAX_SEARCH_STEPS:
        raise RedactionError("too many end tags without an element")


def rewritten(body: bytes, handlers: Sequence[tuple[str, object]], document_handler: object = None) -> bytes:
    """A page after the rewriter's handlers.

    :param handlers: selectors and their handlers.
    :raises RedactionError: where the rewriter or a handler fails; nothing of the page is in the message.
    """
    pieces: list[bytes] = []
    try:
        rewriter = lolhtml.HTMLRewriter(lambda piece: pieces.append(bytes(piece)))
        for selector, handler in handlers:
            rewriter.on(selector, handler)
        if document_handler is None and _FOREIGN.search(body):
            document_handler = _ReadsAllTokens()
        if document_handler is not None:
            rewriter.on_document(document_handler)
        rewriter.write(body)
        rewriter.end()
    except BaseException as error:
        # A panic of the Rust engine is not derived from Exception.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        for _, handler in handlers:
            if isinstance(handler, Enclose) and handler.has_too_many:
                raise RedactionError(f"more than {handler.max_elements} elements to mask") from None
        raise RedactionError("the mask engine failed") from None
    return b"".join(pieces)


class _ReadsAllTokens:
    """A handler that has the rewriter read every token.

    Without one it skims over tags that no selector can match yet. Then it overlooks elements of svg and math that may
    contain HTML, and ``font``, if an end tag precedes them within svg or math.
    """

    def comments(self, comment: lolhtml.Comment) -> None:
        """Leave the comment as it is."""


def unique_word(body: bytes) -> str:
    """A word that a page does not contain."""
    word = "mask-mark-7f3a"
    if find(body, word.encode()) < 0:
        return word
    # The page cannot contain what depends on all of it.
    return f"lbc{sha256(body).hexdigest()[:32]}"


class Enclose:
    """A handler that marks where each element begins, and where its content begins and ends.

    :param word: what the marks are made of, from :func:`unique_word`.
    :ivar max_elements: the rewriting ends if the page has more such elements.
    :ivar names: of the elements, in lower case, in the order of their numbers in the marks.
    :ivar has_too_many: whether the rewriting was ended since the page has too many such elements.
    """

    def __init__(self, word: str, max_elements: int = MAX_MASKED) -> None:
        self.max_elements = max_elements
        self.names: list[str] = []
        self.has_too_many = False
        self._word = word

    def element(self, element: lolhtml.Element) -> None:
        """Mark one element."""
        number = len(self.names)
        if number >= self.max_elements:
            self.has_too_many = True
            raise RedactionError
        self.names.append(element.tag_name.lower())
        element.before(f"{self._word}b{number};", _HTML)
        element.prepend(f"{self._word}s{number};", _HTML)
        element.append(f"{self._word}e{number};", _HTML)


def _masked(
    body: bytes,
    selectors: list[str],
    max_elements: int,
    removed: defaultdict[str, int] | None = None,
    own_attribute: re.Pattern[bytes] | None = None,
) -> bytes:
    word = unique_word(body)
    enclose = Enclose(word, max_elements)
    marked = rewritten(body, [(", ".join(selectors), enclose)])
    if not enclose.names:
        return body
    return _removal(marked, word, enclose.names, removed, own_attribute)


def _masked_beginning(
    body: bytes, end: int, selectors: list[str], max_elements: int, removed: defaultdict[str, int] | None = None
) -> bytes | None:
    """The masked page if only tags before ``end`` match; None if that is not certain, or a masked element has content.

    A tag that is added at ``end`` shows it: the rewriter reads it as a tag only if all tags before it have ended.
    """
    word = unique_word(body)
    enclose, added = Enclose(word, max_elements), _Before("")
    added_tag = f"<{word}>".encode()
    marked = rewritten(body[:end] + added_tag, [(", ".join(selectors), enclose), (word, added)])
    if not (added.seen and marked.endswith(added_tag)) or find(marked, f"{word}s".encode()) >= 0:
        return None
    if not enclose.names:
        return body
    marked = marked.removesuffix(added_tag)
    return _removal(marked, word, enclose.names, removed) + body[end:]


def _removal(
    marked: bytes,
    word: str,
    names: list[str],
    removed: defaultdict[str, int] | None,
    own_attribute: re.Pattern[bytes] | None = None,
) -> bytes:
    removal = _Removal(marked, word.encode(), names, own_attribute)
    result = removal.result()
    if removed is not None and removal.changed:
        removed["elements"] += removal.changed
    return result


class _Removal:
    """Takes attributes and contents out of a page with the marks of :class:`Enclose`.

    :ivar changed: the elements that lost something, without those within others.
    """

    def __init__(
        self, marked: bytes, word: bytes, names: list[str], own_attribute: re.Pattern[bytes] | None = None
    ) -> None:
        self._own_attribute = own_attribute
        # Each piece but the first begins with the rest of a mark.
        self._pieces = split(marked, word)
        self._names = names
        self.changed = 0
        # Lists repeat the same tags and contents.
        self._bare_tags: dict[bytes, bytes] = {}
        self._in_order: dict[tuple[str, bytes], bool] = {}

    def result(self) -> bytes:
        """The page without the marks and the marked parts."""
        pieces = self._pieces
        kept = [pieces[0]]
        index = 1
        while index < len(pieces):
            mark, text = self._mark(index)
            if not mark.startswith(b"b"):
                # The end of a content that ends with another one.
                kept.append(text)
                index += 1
                continue
            tag = _WHOLE_START_TAG.match(text)
            if tag is None:
                raise RedactionError("the tag of a masked element was not found")
            bare = self._bare_tag(tag.group())
            is_changed = bare != self._without_own(tag.group())
            kept.append(bare)
            index += 1
            if index < len(pieces) and self._mark(index)[0] == b"s" + mark[1:]:
                if tag.end() != len(text):
                    raise RedactionError("the tag of a masked element was not found")
                start, index = index, self._after_content(mark[1:], index)
                is_changed = is_changed or any(self._mark(each)[1] for each in range(start, index))
            else:
                kept.append(text[tag.end() :])
            self.changed += is_changed
        return b"".join(kept)

    def _without_own(self, tag: bytes) -> bytes:
        """The tag without the attribute of :class:`_PlainAttributes`, which is nothing that an element loses."""
        return tag if self._own_attribute is None else self._own_attribute.sub(b"", tag, 1)

    def _mark(self, index: int) -> tuple[bytes, bytes]:
        mark, _, text = self._pieces[index].partition(b";")
        return mark, text

    def _after_content(self, number: bytes, index: int) -> int:
        """Pass over a content; returns the index of the mark at its end."""
        name = self._names[int(number)]
        content: list[bytes] = []
        unclosed = 0
        while index < len(self._pieces):
            mark, text = self._mark(index)
            if mark == b"e" + number and name not in _TO_THE_END:
                if unclosed:
                    raise RedactionError("a masked element within a masked one is not closed by its own end tag")
                self._check_order(name, b"".join(content), index)
                return index
            if name in VOID and mark.startswith(b"s") and content:
                raise RedactionError("a masked element is within another one that browsers may have closed before")
            # Browsers open a formatting element again behind the end of the element around it.
            inner = self._names[int(mark[1:])]
            if inner in FORMATTING and mark[1:] != number:
                unclosed += mark.startswith(b"s")
                unclosed -= mark.startswith(b"e") and self._closed_by(index) == inner
            content.append(text)
            index += 1
        # It is not closed, or closed only by the end of the document.
        return index

    def _check_order(self, name: str, content: bytes, index: int) -> None:
        if name in VOID:
            # Possible in svg and math only.
            return
        closed_by = self._closed_by(index)
        if closed_by != name and closed_by not in OPTIONAL_PARENTS.get(name, ()):
            raise RedactionError("a masked element is not closed by its own end tag")
        if not self._closes_in_order(name, content):
            raise RedactionError("a masked element is not closed in order")

    def _closed_by(self, index: int) -> str:
        """The name of the end tag behind a mark; empty if no end tag follows."""
        text = self._mark(index)[1]
        while not text and index + 1 < len(self._pieces):
            index += 1
            text = self._mark(index)[1]
        tag = _END_TAG_NAME.match(text)
        return tag.group(1).decode("latin-1").lower() if tag else ""

    def _bare_tag(self, tag: bytes) -> bytes:
        bare = self._bare_tags.get(tag)
        if bare is None:
            bare = self._bare_tags[tag] = bare_tag(tag)
        return bare

    def _closes_in_order(self, name: str, content: bytes) -> bool:
        in_order = self._in_order.get((name, content))
        if in_order is None:
            in_order = self._in_order[name, content] = closes_in_order(name, content)
        return in_order


def bare_tag(tag: bytes) -> bytes:
    """A start tag with only the attributes that a masked element keeps; unchanged if it has no others."""
    name = TAG_NAME.match(tag)
    position = name.end() if name else len(tag)
    pieces = [tag[:position]]
    seen: set[str] = set()
    changed = False
    while attribute := ATTRIBUTE.match(tag, position):
        position = attribute.end()
        key = attribute.group(1).decode("latin-1").lower()
        has_value = any(attribute.group(2, 3, 4))
        if key not in seen and (
            key in KEPT_ATTRIBUTES or key.startswith("xmlns:") or (key in EMPTIED_ATTRIBUTES and not has_value)
        ):
            pieces.append(b" " + tag[attribute.start(1) : position])
        else:
            changed = True
            if key not in seen and key in EMPTIED_ATTRIBUTES:
                pieces.append(b" " + attribute.group(1) + b'=""')
        seen.add(key)
    if not changed:
        return tag
    return b"".join(pieces) + (b" />" if tag[position:].rstrip(b">").endswith(b"/") else b">")


class _PlainAttributes:
    """A page in which the attributes that selectors compare have no character references.

    :param names: of the attributes; None for all.
    :ivar body: the page to mask.
    :ivar number: matches the attribute that this class adds to tags.
    """

    def __init__(self, body: bytes, names: frozenset[str] | None) -> None:
        self._names = names
        self._tags: list[tuple[bytes, bytes]] = []
        self._word = unique_word(body).encode()
        self.number = re.compile(rb' %b="\d+"' % self._word)
        marker = _Before(self._word.decode())
        selectors = [f'[{name}*="&"]' for name in sorted(names)] if names is not None else ["*"]
        marked = rewritten(body, [(", ".join(selectors), marker)]) if selectors else body
        first, *rest = split(marked, self._word)
        self.body = b"".join([first, *map(self._with_plain_tag, rest)])

    def _with_plain_tag(self, piece: bytes) -> bytes:
        tag = _WHOLE_START_TAG.match(piece)
        if tag is None:
            raise RedactionError("the tag of an element was not found")
        plain = self._plain(tag.group())
        self._tags.append((tag.group(), plain))
        return plain + piece[tag.end() :]

    def _plain(self, tag: bytes) -> bytes:
        name = TAG_NAME.match(tag)
        position = name.end() if name else 0
        number = len(self._tags)
        pieces = [tag[:position], b' %b="%d"' % (self._word, number)]
        while attribute := ATTRIBUTE.match(tag, position):
            start, position = position, attribute.end()
            key = attribute.group(1).decode("latin-1").lower()
            value = next((group for group in attribute.group(2, 3, 4) if group), b"")
            if b"&" not in value or not (self._names is None or key in self._names):
                pieces.append(tag[start:position])
                continue
            decoded = attribute_value(value.decode("utf-8", "surrogateescape"))
            quote = "'" if '"' in decoded and "'" not in decoded else '"'
            written = quote + decoded.replace(quote, f"&#{ord(quote)};") + quote
            pieces.append(b" " + attribute.group(1) + b"=" + written.encode("utf-8", "surrogateescape"))
        return b"".join(pieces) + tag[position:]

    def restored(self, masked: bytes) -> bytes:
        """The masked page. Each element that is not masked has its original tag again."""
        pieces = []
        position = 0
        for found in re.finditer(rb"<[^\t\n\f\r />]+ " + self._word + rb'="(\d+)"', masked):
            original, plain = self._tags[int(found.group(1))]
            if not masked.startswith(plain, found.start()):
                raise RedactionError("the tag of an element was not found")
            pieces += [masked[position : found.start()], original]
            position = found.start() + len(plain)
        return b"".join([*pieces, masked[position:]])


class _Before:
    """A handler that writes a word before each element.

    :ivar seen: whether there was one.
    """

    def __init__(self, word: str) -> None:
        self._word = word
        self.seen = False

    def element(self, element: lolhtml.Element) -> None:
        self.seen = True
        element.before(self._word, lolhtml.ContentType.HTML)
