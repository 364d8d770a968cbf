"""Where an operator wants snippets to go: patterns over the page, which count only where a tag would be read as one."""

from __future__ import annotations

import re

from attrs import frozen

from lbcompanion.html.body_end import BodyEndInserter
from lbcompanion.html.tokenizer_patterns import BOGUS_COMMENT, END_TAG, START_TAG

#: So many matches of one pattern are looked at.
MAX_MATCHES = 10000

_TOKEN = re.compile(START_TAG + rb"|" + END_TAG + rb"|" + BOGUS_COMMENT)
# Enough to tell any token's kind.
_KIND_BYTES = 16


@frozen
class InsertionPoint:
    """One place.

    :ivar pattern: what marks it.
    :ivar after: the snippet goes after the match, else before it.
    """

    pattern: re.Pattern[bytes]
    after: bool


@frozen
class InsertionPoints:
    """The places of the two snippets; None: the usual one.

    :ivar top: at its first match.
    :ivar bottom: at its last match.
    """

    top: InsertionPoint | None = None
    bottom: InsertionPoint | None = None


def find_insertion_point(
    page: bytes, insertion_point: InsertionPoint, minimum: int, xhtml: bool, last: bool
) -> int | None:
    """The place in a page that an anchor means.

    A match inside of a tag, a comment, raw text, a template, svg or math is none, nor is one before the head begins.

    :param least: where the head begins, or the last ``<meta charset>`` that may not be pushed away ends.
    :param last: the last place counts, else the first.
    :returns: an offset; None where there is no such place.
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
            # Within a token that would be read anew up to each further match: its end is looked for once.
            token = _TOKEN.match(page, offset - scanner.unfinished_bytes)
            if token is None:
                break
            position = token.end()
            scanner.feed(page[offset:position])
    return found
