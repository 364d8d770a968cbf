"""The head of the application's response, as copies keep it and nodes send it to the crawler.

It is the status line and the field lines, each as the application sent it and in its order, without the fields that are
left out; an empty line; and the names of the fields that were left out, one per line, in their order. Every line ends
with CR LF. :mod:`lbcompanion.http1.kept_head` writes it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from http import HTTPStatus

from attrs import field, frozen

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?")
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*:[ \t]*([\t\x20-\x7e\x80-\xff]*)")
_TEXT_LINE = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


@frozen
class PageHead:
    """The head of the application's response. Each character of a text is one byte.

    :ivar status_line: as received, without its line end.
    :ivar fields: names as received and values without white space around them, in their order.
    :ivar left_out: the names of the fields that are left out, each once.
    """

    status_line: str
    status: int
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    left_out: tuple[str, ...] = ()

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
        head, end, names = data.partition(b"\r\n\r\n")
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
        # A repeated field is named once, however its name is written.
        once: dict[bytes, str] = {}
        for name in left_out:
            once.setdefault(name.lower(), name.decode())
        return cls(status_line.decode("latin-1"), int(found[1]), tuple(pairs), tuple(once.values()))


def _phrase_of(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
