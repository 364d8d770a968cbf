"""Reads server-sent events as the HTML standard describes them (section 9.2.6)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import frozen

#: The longest line of a stream, in bytes.
MAX_LINE_BYTES = 16 << 20


@frozen
class Event:
    """One event, or a block without data, which only says how far a stream has come.

    :ivar id: the last id of the stream, up to this event.
    :ivar data: None if the block has no data.
    """

    kind: str
    id: str
    data: str | None


class LineTooLong(ValueError):
    """A line of a stream has more than :data:`MAX_LINE_BYTES` bytes."""


def read_events(read: Callable[[], bytes], last_id: str = "") -> Iterator[Event]:
    """Read events until the stream ends; an incomplete event at its end is left out.

    :param read: returns the next bytes, as soon as there are some; empty at the end.
    :raises LineTooLong: if a line is too long.
    """
    kind, data = "", list[str]()
    new_id, has_id = last_id, False
    for line in _lines(read):
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text:
            name, _, value = text.partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "data":
                data.append(value)
            elif name == "id" and "\0" not in value:
                new_id, has_id = value, True
            continue
        last_id = new_id
        if data or has_id:
            yield Event(kind or "message", last_id, "\n".join(data) if data else None)
        kind, data, has_id = "", [], False


def _lines(read: Callable[[], bytes]) -> Iterator[bytes]:
    """Return complete lines, without their line feeds."""
    parts, length = list[bytes](), 0
    while piece := read():
        first, *others = piece.split(b"\n")
        parts.append(first)
        length += len(first)
        if length > MAX_LINE_BYTES:
            raise LineTooLong(f"a line of the stream has more than {MAX_LINE_BYTES} bytes")
        for following in others:
            yield b"".join(parts)
            parts, length = [following], len(following)
