"""Patterns of the places that ``[inject]`` configures; they match only where a tag would be read as a tag."""

from __future__ import annotations

import re

from attrs import frozen

from lbcompanion.html.body_end import BodyEndInserter
from lbcompanion.html.tokenizer_patterns import BOGUS_COMMENT, END_TAG, START_TAG

#: The maximum number of matches of one pattern that are checked.
MAX_MATCHES = 10000

_TOKEN = re.compile(START_TAG + rb"|" + END_TAG + rb"|" + BOGUS_COMMENT)
# Enough bytes to determine the kind of any token.
_KIND_BYTES = 16


@frozen
class InsertionPoint:
    """The insertion point of one snippet.

    :ivar pattern: matches at the insertion point.
    :ivar after: whether the snippet goes after the match; else before it.
    """

    pattern: re.Pattern[bytes]
    after: bool


@frozen
class InsertionPoints:
    """The insertion points of both snippets; None means the default one.

    :ivar top: at its first match.
    :ivar bottom: at its last match.
    """

    top: InsertionPoint | None = None
    bottom: InsertionPoint | None = None


def find_insertion_point(
    page: bytes, insertion_point: InsertionPoint, minimum: int, *, xhtml: bool, last: bool
) -> int | None:
    """Find an insertion point in a page.

    Matches inside of tags, comments, raw text, templates, svg and math, and before the head, are ignored.

    :param minimum: where the head begins, or the last ``<meta charset>`` that may not be pushed away ends.
    :param last: whether the last match counts; else the first.
    :returns: an offset, or None without a match.
    """
    scanner = BodyEndInserter(b"", xhtml)
    found = None
    position = minimum
    for count, match in enumerate(insertion_point.pattern.finditer(page)):
        if count >= MAX_MATCHES:
            break
        offset = match.end() if insertion_point.after else match.start()
        if offset < position:
            continue
        scanner.feed(page[position:offset])
        position = offset
        if scanner.in_body_content:
            found = offset
            if not last:
                break
        elif scanner.unfinished_bytes >= _KIND_BYTES:
            # Inside of an unfinished token. Skip to its end once, instead of reading it again for each further match.
            token = _TOKEN.match(page, offset - scanner.unfinished_bytes)
            if token is None:
                break
            position = token.end()
            scanner.feed(page[offset:position])
    return found
