"""The HTTP head of a page's WARC record: the application's own, or one that is made up from status and type.

The body of a record is the page as the copy has it: without content coding and transfer coding, and without its masked
and excluded parts. A field that does not fit this body gets the prefix ``X-Archive-Orig-`` before its name, so that
no reader of the archive decodes the body again, or believes a wrong length.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from warcio.statusandheaders import StatusAndHeaders  # type: ignore[import-untyped]

from lbcompanion.crawler.fetching.fetcher import FetchedCopy
from lbcompanion.protocol.headers import FIELDS_LEFT_OUT, REMOVED
from lbcompanion.protocol.response_heads import PageHead

#: The prefix of the names of fields that are not true of the record's body.
ORIGINAL = "X-Archive-Orig-"
_CODINGS = frozenset({"content-encoding", "transfer-encoding"})


class OriginalHead(StatusAndHeaders):  # type: ignore[misc]
    """The application's own head. warcio would percent-encode the values that are not ASCII; this writes each byte."""

    headers_buff: bytes | None

    @classmethod
    def read(cls, block: bytes) -> OriginalHead:
        """Read a head as a record of this archive has it, so that it is written again byte for byte."""
        start_line, *lines = block.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        protocol, _, status_line = start_line.partition(" ")
        fields = [line.partition(": ") for line in lines]
        return cls(status_line, [(name, value) for name, _, value in fields], protocol=protocol)

    def compute_headers_buffer(self, header_filter: object = None) -> None:
        """Set the bytes that are written. warcio calls this again for each record that it writes."""
        if self.headers_buff is None:
            lines = "".join([f"{name}: {value}\r\n" for name, value in self.headers])
            self.headers_buff = f"{self.protocol} {self.statusline}\r\n{lines}\r\n".encode("latin-1")


def made_up_head(status: int, content_type: str, length: int) -> StatusAndHeaders:
    """Make a head from a status and a type."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [("Content-Type", content_type)] if content_type else []
    return StatusAndHeaders(f"{status} {phrase}", [*lines, ("Content-Length", str(length))], protocol="HTTP/1.1")


def page_head(copy: FetchedCopy) -> StatusAndHeaders:
    """Return the head of a page's record."""
    if copy.head is None:
        return made_up_head(copy.status, copy.content_type, len(copy.body))
    protocol, _, status_line = copy.head.status_line.partition(" ")
    return OriginalHead(status_line, _fields_of_body(copy.head, len(copy.body)), protocol=protocol)


def file_head(head: PageHead | None, content_type: str, length: int) -> StatusAndHeaders:
    """Return the head of the record of a page's file, with its length."""
    if head is None:
        return made_up_head(200, content_type, length)
    protocol, _, status_line = head.status_line.partition(" ")
    fields = _fields_of_body(head, length)
    if not any(name.lower() == "content-length" for name, _value in fields):
        fields.append(("Content-Length", str(length)))
    return OriginalHead(status_line, fields, protocol=protocol)


def _fields_of_body(head: PageHead, length: int) -> list[tuple[str, str]]:
    """The fields in their order, so that those about the body are true of a body of this length."""
    fields: list[tuple[str, str]] = []
    has_length = False
    for name, value in head.fields:
        lower = name.lower()
        if lower in _CODINGS:
            fields.append((ORIGINAL + name, value))
        elif lower != "content-length":
            fields.append((name, value))
        elif has_length:
            fields.append((ORIGINAL + name, value))
        elif value == str(length):
            has_length = True
            fields.append((name, value))
        else:
            has_length = True
            fields += [(ORIGINAL + name, value), (name, str(length))]
    return fields


def left_out_fields(head: PageHead | None) -> Mapping[str, str]:
    """Return the WARC fields about what the node left out: fields of the head, and parts of the page."""
    if head is None:
        return {}
    fields = {FIELDS_LEFT_OUT.text: ", ".join(head.left_out)} if head.left_out else {}
    return fields if head.removed is None else {**fields, REMOVED.text: str(head.removed)}
