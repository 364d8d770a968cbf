"""The body of ``PUT page/TOKEN``: a copy and its metadata, which a node sends to a peer.

The body is a :class:`Frame`: a line of JSON, then the page's bytes. The processes of one node exchange frames as well
(:mod:`lbcompanion.node.processes.siblings`).
"""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen

from lbcompanion.errors import CopyError
from lbcompanion.model import PAGE_METADATA, Page
from lbcompanion.protocol import shapes
from lbcompanion.protocol.headers import MAX_PAGE_URL_BYTES
from lbcompanion.protocol.tokens import digest_of

#: The maximum length of the JSON line about a page. A URL may be as long as a request head, and JSON may need six
#: characters for each of its bytes.
HEAD_BYTES = 524288
# The longest head that is sent. JSON needs one character for most of its bytes, and six at the most: a head with more
# bytes could exceed HEAD_BYTES together with the URL.
_MAX_PAGE_HEAD_BYTES = 65536


@frozen
class Frame:
    """A JSON object and, optionally, a page's body."""

    values: dict[str, Any]
    body: bytes = b""

    def written(self) -> bytes:
        """Return the frame as bytes."""
        return json.dumps(self.values, separators=(",", ":")).encode() + b"\n" + self.body

    @classmethod
    def read(cls, data: bytes) -> Frame:
        """Parse a frame.

        :raises ValueError: if the bytes are not a frame.
        """
        head, _, body = data.partition(b"\n")
        values = json.loads(head)
        if not isinstance(values, dict):
            raise ValueError("not a frame")
        return cls(values, body)


def page_to_frame(page: Page, **extra: Any) -> Frame:
    """Make a frame of a page; :func:`page_from_frame` reads it.

    The page's head is left out if it might make the line longer than :data:`HEAD_BYTES`: the receiver would refuse the
    page, and its head can be made up from status and type.
    """
    metadata = {name: getattr(page, name) for name in PAGE_METADATA}
    head = {"head": page.head.decode("latin-1")} if 0 < len(page.head) <= _MAX_PAGE_HEAD_BYTES else {}
    return Frame({**extra, "page": {**metadata, **head, "sha256": page.sha256.hex()}}, page.body)


def page_from_frame(frame: Frame) -> Page:
    """Return the page in a frame from a trusted process, without validation; use :func:`read_copy` for peers.

    Unknown names are ignored: a newer program may send more of them.

    :raises ValueError: (or KeyError, TypeError) if the frame contains no page.
    """
    values = frame.values["page"]
    metadata = {name: values[name] for name in PAGE_METADATA}
    return Page(**metadata, sha256=bytes.fromhex(values["sha256"]), body=frame.body, head=_head(values.get("head")))


def _head(value: Any) -> bytes:
    """The head in a frame; empty if it is missing (as in frames of earlier versions) or not valid."""
    try:
        return value.encode("latin-1") if isinstance(value, str) else b""
    except UnicodeEncodeError:
        return b""


def write_copy(page: Page, age: float) -> bytes:
    """Write the body of ``PUT page/TOKEN``.

    :param age: seconds since the page was captured. An age, not a time, because two nodes' clocks may differ.
    """
    return page_to_frame(page, age=age).written()


def read_copy(body: bytes, token: str) -> tuple[Page, float]:
    """Read a body that :func:`write_copy` wrote.

    :param token: the token in the request target.
    :returns: the page, and its age in seconds.
    :raises CopyError: if this is not a valid page with that token.
    """
    try:
        frame = Frame.read(body)
        page, age = page_from_frame(frame), float(frame.values["age"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise CopyError("no page") from None
    if page.token != token or not _is_valid(page) or not 0 <= age < shapes.LAST_SECOND:
        raise CopyError("no page, or not the one that the address names")
    return page, age


def _is_valid(page: Page) -> bool:
    """Whether a node could have made this page. Its metadata become header fields of later answers."""
    return (
        isinstance(page.url, str)
        and isinstance(page.method, str)
        and isinstance(page.content_type, str)
        and len(page.url) <= MAX_PAGE_URL_BYTES
        and shapes.PAGE_URL.fullmatch(page.url) is not None
        and shapes.METHOD.fullmatch(page.method) is not None
        and shapes.FIELD_VALUE.fullmatch(page.content_type) is not None
        and type(page.status) is int
        and 100 <= page.status <= 999
        and _is_time(page.captured_at)
        and page.sha256 == digest_of(page.body)
    )


def _is_time(value: Any) -> bool:
    return type(value) in {int, float} and 0 <= value < shapes.LAST_SECOND
