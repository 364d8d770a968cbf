"""The fast path: the insertion offset for whole pages of the most common form. Other pages need the full injector.

Both give the same result: :class:`lbcompanion.html.inject.Injector` inserts into the same page at the same offset.
``tests/html/test_fast_path.py`` and the fuzz target ``html`` compare them.

Both functions are for a page that is not read as XML and to which nothing else is done: no bottom snippet, no
``skip_if``, no configured insertion point. A fragment, or a page with a policy in a ``<meta>``, is not of the common
form, so the result depends neither on ``needs_document`` nor on ``on_policies``.
"""

from __future__ import annotations

from functools import lru_cache

from lbcompanion.html import charset as charsets
from lbcompanion.html.before_head import BeforeHeadReader
from lbcompanion.html.bytesearch import lowered
from lbcompanion.html.head import MAX_HEAD_BYTES, ends_in_comment_or_script, has_no_policy_or_marker
from lbcompanion.html.in_head import HeadForm, head_form

_HEAD, _HEAD_END = b"<head>", b"</head>"
# A "<head>" further in than this is not common.
_BEGINNING_BYTES = 512
_COMMON, _COMMON_WITH_BASE = HeadForm.COMMON, HeadForm.COMMON_WITH_BASE


def fast_head_start(page: bytes, charset: str | None, length: int) -> int | None:
    """The insertion offset of a top snippet at the start of the head.

    :param page: all of it, content coding undone.
    :param charset: as :class:`lbcompanion.html.page_detection.Eligibility` has it; None: not named by ``Content-Type``.
    :param length: of the snippet, in bytes; it matters only if ``charset`` is None.
    :returns: an offset in ``page``: what the visitor gets is ``page[:offset] + snippet + page[offset:]``. None: the
        page is not of the common form.
    """
    start, end = _head_bounds(page)
    if end < 0 or not (charset == "utf-8" or _charset_allows(page, charset, start, length)):
        return None
    zone = lowered(page[start:end])
    return start if has_no_policy_or_marker(zone) and not ends_in_comment_or_script(zone) else None


def fast_head_end(page: bytes, charset: str | None, length: int, *, base_allowed: bool = True) -> int | None:
    """The insertion offset of a top snippet at the end of the head; as :func:`fast_head_start`.

    :param base_allowed: whether a page with a ``<base>`` in its head is of the common form.
    """
    start, end = _head_bounds(page)
    if end < 0 or not (charset == "utf-8" or _charset_allows(page, charset, end, length)):
        return None
    form = head_form(page[start:end])
    return end if form is _COMMON or (base_allowed and form is _COMMON_WITH_BASE) else None


def _head_bounds(page: bytes) -> tuple[int, int]:
    """The start and the end of a common head; the end is negative for any other head."""
    start = page.find(_HEAD, 0, _BEGINNING_BYTES) + len(_HEAD)
    if start < len(_HEAD) or not _begins_with_head(page[:start]):
        return 0, -1
    return start, page.find(_HEAD_END, start, start + MAX_HEAD_BYTES + len(_HEAD_END))


def _charset_allows(page: bytes, charset: str | None, at: int, length: int) -> bool:
    """Whether the encoding allows an insertion at this offset."""
    if charset is not None:
        return charsets.is_ascii_compatible(charset)
    meta = charsets.find_meta_charset(page)
    if meta is None:
        return True
    return meta.stays_in_prescan(at, length) and charsets.is_ascii_compatible(meta.name)


@lru_cache(512)
def _begins_with_head(beginning: bytes) -> bool:
    """Whether a head begins right after this beginning of a page; all pages of a site have few of them."""
    reader = BeforeHeadReader(xhtml=False, needs_document=True)
    return reader.read(beginning, at_end=False) == len(beginning) and reader.found
