"""A copy and what is known of it in one body: what ``PUT page/TOKEN`` carries from a node to its peer.

The body is a :class:`Frame`: a line of JSON, and behind it the page's bytes. The processes of one node ask each other
by frames as well (:mod:`lbcompanion.node.processes.siblings`).
"""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen

from lbcompanion.errors import CopyError
from lbcompanion.model import PAGE_METADATA, Page
from lbcompanion.protocol import shapes
from lbcompanion.protocol.tokens import digest_of

#: The longest line of JSON about one page: an address may be as long as a head, and each byte of it may be written as
#: six characters.
HEAD_BYTES = 524288


@frozen
class Frame:
    """Plain values, and a page's body where there is one."""

    values: dict[str, Any]
    body: bytes = b""

    def written(self) -> bytes:
        """The frame's bytes."""
        return json.dumps(self.values, separators=(",", ":")).encode() + b"\n" + self.body

    @classmethod
    def read(cls, data: bytes) -> Frame:
        """Take bytes apart.

        :raises ValueError: where they are no frame.
        """
        head, _, body = data.partition(b"\n")
        values = json.loads(head)
        if not isinstance(values, dict):
            raise ValueError("no frame")
        return cls(values, body)


def page_to_frame(page: Page, **extra: Any) -> Frame:
    """A page as a frame; :func:`page_from_frame` reads it."""
    metadata = {name: getattr(page, name) for name in PAGE_METADATA}
    return Frame({**extra, "page": {**metadata, "sha256": page.sha256.hex()}}, page.body)


def page_from_frame(frame: Frame) -> Page:
    """The page in a frame, which is believed: see :func:`read_copy` for a page from elsewhere.

    :raises ValueError: (or KeyError, TypeError) where there is none.
    """
    metadata = dict(frame.values["page"])
    return Page(**metadata | {"sha256": bytes.fromhex(metadata["sha256"])}, body=frame.body)


def write_copy(page: Page, age: float) -> bytes:
    """The body of ``PUT page/TOKEN``.

    :param age: seconds since the page was captured. Times are not compared: two nodes' clocks may differ.
    """
    return page_to_frame(page, age=age).written()


def read_copy(body: bytes, token: str) -> tuple[Page, float]:
    """Read what :func:`write_copy` writes.

    :param token: of the address to which it was put.
    :returns: the page, and its age in seconds.
    :raises CopyError: where this is not the body of a page with that token.
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
    """Whether this is what a node makes: its parts stand in the head of an answer later."""
    return (
        isinstance(page.url, str)
        and isinstance(page.method, str)
        and isinstance(page.content_type, str)
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
