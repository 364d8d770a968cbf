"""The parts of a head that matter to an insertion at its start: policies, our marker, a late charset."""

from __future__ import annotations

import re

from attrs import field, frozen

from lbcompanion.html import charset
from lbcompanion.html.bytesearch import find, lowered
from lbcompanion.html.page_detection import Refusal
from lbcompanion.html.snippets import MARKER
from lbcompanion.html.tokenizer_patterns import (
    ATTRIBUTES,
    BOGUS_COMMENT,
    COMMENT,
    EMPTY_END_TAG,
    RAW_TEXT,
    WS,
    attributes,
    raw_text_ends,
    tag_name,
    unescaped,
)

_END_BYTES = 16
#: The maximum number of bytes of a head that are read; at most 16 KiB are held back with the bytes that end it.
MAX_HEAD_BYTES = 16384 - _END_BYTES

_END = re.compile(rb"(?i)<(?:/head|/html|/?body|frameset)[" + WS + rb"/>]")
# A ``<meta>`` with a policy names it.
_POLICY = b"content-security-policy"
_IN_HEAD = rb"base|basefont|bgsound|head|link|meta|template|" + b"|".join(RAW_TEXT)
_TOKEN = re.compile(
    rb"(?i)[" + WS + rb"]++|" + COMMENT + rb"|" + BOGUS_COMMENT + rb"|" + EMPTY_END_TAG + rb"|</template[^>]*+>"
    rb"|(?P<tag><(?:" + _IN_HEAD + rb")(?=[" + WS + rb"/>])" + ATTRIBUTES + rb">)"
    rb"|</(?!(?:head|body|html|br)[" + WS + rb"/>])[A-Za-z][^" + WS + rb"/>]*+" + ATTRIBUTES + rb">"
)
_END_TAGS = raw_text_ends(*RAW_TEXT)


@frozen
class HeadScan:
    """The result of scanning a head.

    :ivar policies: the policies of its ``<meta>`` tags, enforcing ones only.
    :ivar has_marker: whether the companion's tag is there already.
    :ivar meta_ends: where its ``<meta>`` tags end, as offsets from where it begins.
    """

    policies: tuple[str, ...] = ()
    has_marker: bool = False
    meta_ends: frozenset[int] = field(default=frozenset())


def find_head_end(data: bytes, at_end: bool) -> int | None:
    """The approximate end of the head that begins with ``data``: no further than :data:`MAX_HEAD_BYTES`.

    An end inside of a comment or a script is ignored.

    :returns: None if more input is needed.
    """
    position = 0
    while found := _END.search(data, position, MAX_HEAD_BYTES + _END_BYTES):
        position = found.start()
        if position > MAX_HEAD_BYTES:
            break
        if not ends_in_comment_or_script(lowered(data[:position])):
            return position
        position += 1
    if len(data) >= MAX_HEAD_BYTES + _END_BYTES:
        return MAX_HEAD_BYTES
    return len(data) if at_end else None


def ends_in_comment_or_script(zone: bytes) -> bool:
    """Whether a comment or a script is open where this beginning of a head stops.

    :param zone: in lower case.
    """
    comment = zone.rfind(b"<!--")
    return comment > zone.rfind(b"-->", max(0, comment)) or zone.rfind(b"<script") > zone.rfind(b"</script")


def has_no_policy_or_marker(zone: bytes) -> bool:
    """Whether a head certainly holds neither a policy nor our marker; most heads do not.

    :param zone: in lower case.
    """
    return find(zone, _POLICY) < 0 and find(zone, MARKER) < 0


def scan_head(zone: bytes) -> HeadScan:
    """Read a head token by token, up to the first one that ends it."""
    policies: list[str] = []
    meta_ends = set()
    has_marker = False
    templates = position = 0
    while token := _TOKEN.match(zone, position):
        position = token.end()
        tag = token.group("tag")
        if tag is None:
            templates -= templates > 0 and token.group()[:10].lower() == b"</template"
            continue
        name = tag_name(tag)
        if name == b"template":
            templates += 1
        elif name == b"meta" and not templates:
            meta_ends.add(position)
            policies += meta_policies(tag)
        elif name in _END_TAGS:
            has_marker = has_marker or (name == b"script" and MARKER in attributes(tag))
            end = _END_TAGS[name].search(zone, position)
            if end is None:
                break
            position = end.start()
    return HeadScan(tuple(policies), has_marker, frozenset(meta_ends))


def meta_policies(tag: bytes) -> list[str]:
    """The content security policies of a ``<meta>`` tag, enforcing ones only."""
    found = attributes(tag)
    if unescaped(found.get(b"http-equiv", b"")).strip().lower() != _POLICY.decode():
        return []
    return [unescaped(found.get(b"content", b""))]


def insertion_offset(start: bytes, head_start: int, zone: bytes, length: int) -> int | Refusal:
    """The offset in a head at which an insertion does not push ``<meta charset>`` past byte 1,024.

    :func:`lbcompanion.html.fast_path.fast_head_start` makes the same checks for pages in which the offset is 0.

    :param start: the page's first 1,024 bytes.
    :param head_start: where the head begins in the page.
    :param zone: the head.
    :param length: the number of bytes to insert.
    :returns: an offset in ``zone``, or why nothing may be inserted.
    """
    meta = charset.prescan(start)
    if meta is None:
        return 0
    if not charset.is_ascii_compatible(meta.name):
        return Refusal.CHARSET
    if meta.stays_in_prescan(head_start, length):
        return 0
    offset = meta.end - head_start
    return offset if offset in scan_head(zone).meta_ends else Refusal.UNSURE
