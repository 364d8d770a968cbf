"""The end of one page's copy: excluded blocks and masked elements are removed, and the copy is stored.

The visitor has been served by then. A copy that may contain masked content is not stored; errors are counted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from attrs import frozen

from lbcompanion.html.charset import bom_charset
from lbcompanion.html.masks import Masks, RedactionError
from lbcompanion.html.media_type import extract_media_type
from lbcompanion.html.page_detection import Eligibility
from lbcompanion.html.redaction import redact
from lbcompanion.http1.heads import ResponseHead
from lbcompanion.model import Page
from lbcompanion.node.capture.archived_fields import ArchivedFields
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.protocol.removed_parts import RemovedParts
from lbcompanion.protocol.response_heads import with_removed_parts
from lbcompanion.settings import CaptureTable

if TYPE_CHECKING:
    from lbcompanion.node.copies.service import Copies


@frozen
class CaptureLimits:
    """The limits and transformations of all copies of one process.

    :ivar max_page_bytes: the maximum of one copy.
    :ivar capturing_bytes: the maximum of all copies in progress.
    :ivar expansion_ratio: the maximum ratio of decoded to coded size, beyond the first 64 KiB.
    :ivar on_captured: called with each page given to the store and the request's ``Cookie`` field; None calls nothing.
    :ivar kept_head: returns the head of a copy (:mod:`lbcompanion.node.capture.archived_fields`).
    :ivar keep_cookies: called with the token of each page that is being captured, the value of its request's ``Cookie``
        (empty if there is none), and its response's head as received; None calls nothing.
    """

    max_page_bytes: int
    capturing_bytes: int
    expansion_ratio: float
    exclude_blocks: bool
    masks: Masks | None
    on_captured: Callable[[Page, bytes], None] | None
    kept_head: Callable[[ResponseHead], bytes] = ArchivedFields(CaptureTable().archive_fields_exclude).head_of
    keep_cookies: Callable[[str, bytes, bytes], None] | None = None


class CopyFacts(NamedTuple):
    """The facts about a page that its copy keeps.

    :ivar head: the application's.
    :ivar content_type: the value of its ``Content-Type``.
    :ivar cookie: the value of the request's ``Cookie``, for the notice; empty if there is none.
    """

    token: str
    url: str
    method: str
    head: ResponseHead
    content_type: bytes
    captured_at: float
    eligibility: Eligibility
    cookie: bytes


def finish_copy(
    facts: CopyFacts, page_bytes: bytes, *, capture_limits: CaptureLimits, copies: Copies, counters: Counters
) -> None:
    """Store the copy of a page, or record why it is lost.

    :param page_bytes: the page as the application made it, content coding undone.
    """
    try:
        kept_head = capture_limits.kept_head(facts.head)
    except Exception as error:
        # The copy is worth more than its head, which can be made up from status and type.
        counters.failed_open[f"copy's head: {type(error).__name__}"] += 1
        kept_head = b""
    try:
        removed: defaultdict[str, int] = defaultdict(int)
        copy_bytes = _redacted(page_bytes, facts.eligibility, capture_limits, removed)
        page = Page(
            facts.token,
            facts.url,
            facts.method,
            facts.head.status,
            _single_content_type(facts.content_type),
            facts.captured_at,
            copy_bytes,
            head=with_removed_parts(kept_head, RemovedParts(**removed) if removed else None),
        )
    except Exception as error:
        # A copy that may contain masked or excluded content is not stored.
        counters.failed_open[f"copy: {type(error).__name__}"] += 1
        why = f": {error}" if isinstance(error, RedactionError) else ""
        copies.record_loss(facts.token, f"masks or excluded blocks could not be taken out{why}")
        return
    copies.store_page(page)
    if capture_limits.on_captured is not None:
        try:
            capture_limits.on_captured(page, facts.cookie)
        except Exception as error:
            counters.failed_open[f"notice: {type(error).__name__}"] += 1


def _redacted(
    page_bytes: bytes, eligibility: Eligibility, capture_limits: CaptureLimits, removed: defaultdict[str, int]
) -> bytes:
    charset = eligibility.charset
    if not capture_limits.exclude_blocks and capture_limits.masks is None:
        return page_bytes
    if charset != "utf-8" or page_bytes[:1] in (b"\xef", b"\xfe", b"\xff"):
        charset = bom_charset(page_bytes) or charset
    return redact(
        page_bytes,
        exclude_blocks=capture_limits.exclude_blocks,
        masks=capture_limits.masks,
        charset=charset,
        xhtml=eligibility.xhtml,
        removed=removed,
    )


def _single_content_type(value: bytes) -> str:
    """The ``Content-Type`` of a copy: the application's, or the type that browsers read if it has several."""
    return extract_media_type(value).written() if b"," in value else value.decode("latin-1")
