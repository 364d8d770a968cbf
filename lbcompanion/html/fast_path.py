"""The fast path: the insertion offset for pages of the most common form. Other pages need the full injector.

What both decide by is in :mod:`lbcompanion.html.head` and :mod:`lbcompanion.html.charset`. The two never differ: the
place given here is where :class:`lbcompanion.html.inject.Injector` inserts into the same page.
``tests/html/test_fast_path.py`` and the fuzz target ``html`` compare them.
"""

from __future__ import annotations

from functools import lru_cache

from lbcompanion.html import charset as charsets
from lbcompanion.html.before_head import BeforeHeadReader
from lbcompanion.html.bytesearch import lowered
from lbcompanion.html.head import MAX_HEAD_BYTES, ends_in_comment_or_script, has_no_policy_or_marker

_HEAD, _HEAD_END = b"<head>", b"</head>"
# A "<head>" further in than this is not usual.
_BEGINNING_BYTES = 512


def fast_insertion_offset(page: bytes, charset: str | None, length: int) -> int | None:
    """Where a top snippet goes in a whole page.

    For a page that is not read as XML and to which nothing else is done: no bottom snippet, no ``skip_if``, no
    anchors. It is the same whether ``needs_document`` is asked for or not, and whatever ``on_policies`` would say: a
    fragment, or a page with a policy in a ``<meta>``, is not usual. It takes 1.5 us where ``charset`` is told, 2 us
    where a ``<meta>`` tells it.

    :param page: all of it, content coding undone.
    :param charset: as :class:`lbcompanion.html.eligible.Eligibility` has it; None: ``Content-Type`` tells none.
    :param length: of the snippet, in bytes; it matters only where ``charset`` is None.
    :returns: an offset in ``page``: what the visitor gets is ``page[:offset] + snippet + page[offset:]``. None: the
        page is not usual, and :class:`lbcompanion.html.inject.Injector` has to be asked.
    """
    start = page.find(_HEAD, 0, _BEGINNING_BYTES) + 6
    if start < 6 or not _begins_with_head(page[:start]):
        return None
    end = page.find(_HEAD_END, start, start + MAX_HEAD_BYTES + 7)
    if end < 0 or not (charset == "utf-8" or _charset_allows(page, charset, start, length)):
        return None
    zone = lowered(page[start:end])
    return start if has_no_policy_or_marker(zone) and not ends_in_comment_or_script(zone) else None


def _charset_allows(page: bytes, charset: str | None, start: int, length: int) -> bool:
    """Whether the encoding has nothing against the usual place."""
    if charset is not None:
        return charsets.is_ascii_compatible(charset)
    meta = charsets.find_meta_charset(page)
    if meta is None:
        return True
    return meta.stays_in_prescan(start, length) and charsets.is_ascii_compatible(meta.name)


@lru_cache(512)
def _begins_with_head(beginning: bytes) -> bool:
    """Whether a head begins right behind this beginning of a page; all pages of a site have few of them."""
    reader = BeforeHeadReader(xhtml=False, needs_document=True)
    return reader.read(beginning, at_end=False) == len(beginning) and reader.found
