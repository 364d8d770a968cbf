"""The head of the application's response, as copies keep it and nodes send it to the crawler.

It is the status line and the field lines, each as the application sent it and in its order, without the fields that are
left out; an empty line; and the names of the fields that were left out, one per line, in their order. Every line ends
with CR LF. :mod:`lbcompanion.http1.kept_head` writes it. The node adds the last field line, ``Lbc-Removed``: how many
parts of the page the copy lacks. It is in the head because all stores, nodes and processes already keep and send heads.
A crawler that does not know the field archives it as a field of the application.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from http import HTTPStatus

from attrs import field, frozen

from lbcompanion.protocol.headers import REMOVED
from lbcompanion.protocol.removed_parts import RemovedParts

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_TEXT_LINE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEAD_END = b"\r\n\r\n"
_NOTHING_REMOVED = b"\r\n%b: %b\r\n\r\n" % (REMOVED.written, str(RemovedParts()).encode())


def with_removed_parts(head: bytes, removed: RemovedParts | None) -> bytes:
    """Return a head with the field that says what the copy lacks; unchanged if it is empty.

    :param head: from :func:`lbcompanion.http1.kept_head.kept_head`, without such a field.
    :param removed: None: nothing.
    """
    line = b"\r\n%b: %b\r\n\r\n" % (REMOVED.written, str(removed).encode()) if removed else _NOTHING_REMOVED
    return head.replace(_HEAD_END, line, 1)


@frozen
class PageHead:
    """The head of the application's response. Each character of a text is one byte.

    :ivar status_line: as received, without its line end.
    :ivar fields: names as received and values without white space around them, in their order.
    :ivar left_out: the names of the fields that are left out, each once.
    :ivar removed: how many parts of the page the copy lacks; None: the node did not say it.
    """

    status_line: str
    status: int
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    left_out: tuple[str, ...] = ()
    removed: RemovedParts | None = None

    @classmethod
    def of_fields(cls, status: int, fields: Iterable[tuple[str, str]], exclude: Collection[str]) -> PageHead:
        """Make the head of a response from its status and fields.

        :param exclude: the names, in lower case, of fields that are left out. One that no line can hold is left out,
            too.
        """
        kept: list[tuple[str, str]] = []
        left_out: dict[str, None] = {}
        for name, value in fields:
            if name.lower() not in exclude and _TEXT_LINE.fullmatch(f"{name}:{value}"):
                kept.append((name, value.strip(" \t")))
            elif _NAME.fullmatch(name.encode("latin-1", "replace")):
                left_out[name] = None
        return cls(f"HTTP/1.1 {status} {_phrase_of(status)}", status, tuple(kept), tuple(left_out))

    @classmethod
    def read(cls, data: bytes) -> PageHead | None:
        """Parse a head; None if it is malformed."""
        head, end, names = data.partition(_HEAD_END)
        status_line, *lines = head.split(b"\r\n")
        found = _STATUS_LINE.fullmatch(status_line)
        if found is None or not end:
            return None
        fields = [_LINE.fullmatch(line) for line in lines]
        left_out = names.split(b"\r\n")
        if left_out.pop() or not all(map(_NAME.fullmatch, left_out)):
            return None
        pairs = [(line[1].decode(), line[2].rstrip(b" \t").decode("latin-1")) for line in fields if line is not None]
        if len(pairs) < len(fields):
            return None
        removed = None
        if pairs and pairs[-1][0] == REMOVED.text and (removed := RemovedParts.read(pairs[-1][1])) is not None:
            del pairs[-1]
        # A repeated field is named once, however its name is written.
        once: dict[bytes, str] = {}
        for name in left_out:
            once.setdefault(name.lower(), name.decode())
        return cls(status_line.decode("latin-1"), int(found[1]), tuple(pairs), tuple(once.values()), removed)


def _phrase_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
