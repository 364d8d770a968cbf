"""Reads HTTP with h11, as the reference that targets compare with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h11
from attrs import evolve, frozen

_MOST_BYTES = 1 << 22

Fields = list[tuple[bytes, bytes]]


@frozen
class Message:
    """One message, whole.

    :ivar start: method and target, or the status.
    :ivar raw: its bytes, for requests.
    """

    start: tuple[Any, ...]
    version: bytes
    fields: Fields
    body: bytes
    trailers: Fields
    raw: bytes = b""


@frozen
class Reading:
    """The contents of a stream.

    :ivar messages: whole ones.
    :ivar interim: of a response, the 1xx before it.
    :ivar head: of the message under way, if its head is there.
    :ivar refused: h11's complaint about what comes then.
    :ivar rest: what stands behind the last message.
    """

    messages: Sequence[Message]
    interim: Sequence[int] = ()
    head: Message | None = None
    refused: str = ""
    rest: bytes = b""


def connection(role: Any) -> h11.Connection:
    """A connection without limits of size."""
    return h11.Connection(role, max_incomplete_event_size=_MOST_BYTES)


def _fields(headers: Any) -> Fields:
    return [(bytes(name), bytes(value)) for name, value in headers]


def requests(data: bytes) -> Reading:
    """All requests on a connection, up to one behind which it is closed.

    Empty lines before a request line are passed over (RFC 9112 section 2.2), which h11 does not do.
    """
    messages: list[Message] = []
    while True:
        while data.startswith(b"\r\n"):
            data = data[2:]
        theirs = connection(h11.SERVER)
        read = _one(theirs, data)
        if isinstance(read, Reading):
            return Reading(messages, (), read.head, read.refused, data)
        messages.append(evolve(read, raw=data[: len(data) - len(theirs.trailing_data[0])]))
        data = theirs.trailing_data[0]
        if theirs.their_state is h11.MUST_CLOSE or not data:
            return Reading(messages, rest=data)


def response(data: bytes, method: bytes, eof: bool, upgrade: bool = False) -> Reading:
    """The answer to one request.

    :param eof: the connection ends behind ``data``.
    :param upgrade: the request asked for another protocol.
    """
    theirs = connection(h11.CLIENT)
    more = [("Connection", "upgrade"), ("Upgrade", "any")] if upgrade else []
    theirs.send(h11.Request(method=method, target="/", headers=[("Host", "a"), *more]))
    theirs.send(h11.EndOfMessage())
    interim: list[int] = []
    read = _one(theirs, data, eof, interim)
    if isinstance(read, Reading):
        return Reading((), interim, read.head, read.refused)
    return Reading([read], interim, rest=theirs.trailing_data[0])


def _one(theirs: h11.Connection, data: bytes, eof: bool = False, interim: list[int] | None = None) -> Message | Reading:
    head: Message | None = None
    body = []
    theirs.receive_data(data)
    ended = False
    while True:
        try:
            event = theirs.next_event()
            if event is h11.NEED_DATA and eof and not ended:
                ended = True
                theirs.receive_data(b"")
                continue
        except h11.RemoteProtocolError as error:
            return Reading((), (), head, str(error))
        if isinstance(event, h11.Request):
            start: tuple[Any, ...] = (bytes(event.method), bytes(event.target))
            head = Message(start, bytes(event.http_version), _fields(event.headers), b"", [])
        elif isinstance(event, h11.Response):
            head = Message((event.status_code,), bytes(event.http_version), _fields(event.headers), b"", [])
        elif isinstance(event, h11.InformationalResponse):
            if interim is not None:
                interim.append(event.status_code)
            if event.status_code == 101:
                return Message((101,), bytes(event.http_version), _fields(event.headers), b"", [])
        elif isinstance(event, h11.Data):
            body.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return Message(head.start, head.version, head.fields, b"".join(body), _fields(event.headers))
        else:
            return Reading((), (), head)
