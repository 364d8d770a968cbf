"""Marks the entity tags of changed pages for visitors, and restores the application's tags in their requests.

A page with the inserted script is another representation than the application's. Its tag is the application's with a
suffix that tells whether that one was strong, and is always weak, because the script differs per response.
"""

from __future__ import annotations

import re

from lbcompanion.http1.heads import without

#: Fields that are wrong for a changed body; ``Content-Length`` is always generated.
BODY_FIELDS = frozenset(
    {b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges", b"last-modified"}
)
_CONDITIONAL_FIELDS = frozenset({b"if-none-match", b"if-match"})
# Some intermediaries drop "W/". The last letter: the tag is strong, weak, or (against the grammar) unquoted.
_MARKED = re.compile(rb'(?:W/)?"([^"]*)-lbc([swu])"')
_ETAG_LINE = re.compile(rb'(?im)^(etag: )(?:(W/)?"([^"\r\n]*)"|([^"\r\n]+))(?=\r$)')
_RESTORED = {b"s": b'"%b"', b"w": b'W/"%b"', b"u": b"%b"}


def mark_etag(lines: bytes) -> bytes:
    """Mark the entity tag of a changed page; a tag that cannot be marked, such as ``"a", "b"``, is removed."""

    def marked(found: re.Match[bytes]) -> bytes:
        letter = b"u" if found[4] else b"w" if found[2] else b"s"
        return b'%bW/"%b-lbc%b"' % (found[1], found[4] or found[3], letter)

    changed, count = _ETAG_LINE.subn(marked, lines)
    return changed if count else without(lines, (b"etag",))


def restore_etags(lines: bytes) -> bytes:
    """Restore the application's tags in the conditions of a request."""
    return b"".join(
        [
            _MARKED.sub(lambda found: _RESTORED[found[2]] % found[1], line)
            if b"-lbc" in line and line.partition(b":")[0].lower() in _CONDITIONAL_FIELDS
            else line
            for line in lines.splitlines(keepends=True)
        ]
    )


def mark_not_modified(lines: bytes, if_none_match: bytes) -> bytes:
    """The field lines of a 304 to a request whose 200 would have been a changed page.

    The visitor's stored response has the tag that the request names. If the request does not name the application's tag
    in either form (``If-Modified-Since``, ``*``), the stored response may be a changed page, which has another tag:
    then the 304 has none (RFC 9111 section 4.3.4).

    :param if_none_match: the visitor's ``If-None-Match``; empty without one.
    """
    found = _ETAG_LINE.search(lines)
    lines = without(lines, BODY_FIELDS)
    if found is None:
        return lines
    opaque = found[4] or found[3]
    letter = dict(_MARKED.findall(if_none_match)).get(opaque)
    if letter is not None:
        return _ETAG_LINE.sub(lambda tag: b'%bW/"%b-lbc%b"' % (tag[1], opaque, letter), lines)
    asked = [member.strip(b" \t").removeprefix(b"W/") for member in if_none_match.split(b",")]
    return lines if opaque in asked or b'"%b"' % opaque in if_none_match else without(lines, (b"etag",))
