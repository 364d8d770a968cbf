"""The protocols between transports, connection handlers and exchanges; their method names are those of :mod:`asyncio`.

The proxy never imports a loop. On asyncio, :mod:`lbcompanion.node.transports.socket_transport` has its transports, and
for TLS asyncio's own are used. :mod:`lbcompanion.node.transports.twisted_transport` adapts those of other reactors.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import Any, Protocol

from lbcompanion.http1.heads import Field, RequestHead


class Transport(Protocol):
    """One byte connection, as its :class:`ConnectionHandler` uses it (asyncio: a transport)."""

    def write(self, data: bytes) -> None:
        """Send, or queue what the socket does not take; a full queue calls ``pause_writing`` of the handler."""
        ...

    def writelines(self, list_of_data: Sequence[bytes | memoryview]) -> None:
        """Write all pieces in order."""
        ...

    def close(self) -> None:
        """Close after the queue is sent."""
        ...

    def write_eof(self) -> None:
        """Close the write side after the queue is sent; reading goes on (half-close)."""
        ...

    def abort(self) -> None:
        """Close at once and drop the queue."""
        ...

    def pause_reading(self) -> None:
        """Stop calling ``data_received``; idempotent."""
        ...

    def resume_reading(self) -> None:
        """Call ``data_received`` again; idempotent."""
        ...

    def get_write_buffer_size(self) -> int:
        """Bytes in the queue, as far as the transport knows them."""
        ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``peername`` gives the peer's address as ``(host, port, ...)``, or another value for a peer without one;
        ``ssl_object`` gives a true value if the connection is encrypted."""
        ...


class ConnectionHandler(Protocol):
    """The methods of a connection's handler that its transport calls (asyncio: a protocol)."""

    def connection_made(self, transport: Transport) -> None:
        """The connection is established."""
        ...

    def data_received(self, data: bytes) -> None:
        """Bytes arrived."""
        ...

    def eof_received(self) -> bool:
        """The peer closed its write side; return whether to keep the write side of the companion open."""
        ...

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is closed; ``exc`` is None after an orderly close."""
        ...

    def pause_writing(self) -> None:
        """The transport's queue is full."""
        ...

    def resume_writing(self) -> None:
        """The transport's queue is low again."""
        ...


class ExchangeInterface(Protocol):
    """One request and its response, proxied or internal."""

    @property
    def response_started(self) -> bool:
        """Whether the first byte of the response was written."""
        ...

    def start(self) -> None:
        """Start it; the request head is known."""
        ...

    def body(self, data: bytes) -> None:
        """Handle bytes of the request body."""
        ...

    def body_end(self, trailers: list[Field]) -> None:
        """The request body is complete."""
        ...

    def visitor_full(self) -> None:
        """The queue towards the visitor is full."""
        ...

    def visitor_drained(self) -> None:
        """The queue towards the visitor is low again."""
        ...

    def visitor_lost(self) -> None:
        """The visitor disconnected."""
        ...

    def made_progress(self) -> bool:
        """Whether response bytes arrived since the last call."""
        ...

    def tick(self, now: float) -> None:
        """Check the deadlines."""
        ...


class VisitorSide(Protocol):
    """A visitor's connection, as its current exchange uses it.

    :ivar write_paused: whether the queue towards the visitor is full (after ``pause_writing``).
    :ivar peer: the peer's address as text, empty for a unix socket.
    :ivar trusted: whether the peer is one of ``trusted_proxies``.
    """

    transport: Transport
    write_paused: bool
    peer: str
    trusted: bool

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow on this connection."""
        ...

    def scheme(self, head: RequestHead) -> str:
        """``http`` or ``https``, the scheme that the visitor's browser used."""
        ...

    def pause(self) -> None:
        """Stop reading from the visitor."""
        ...

    def resume(self) -> None:
        """Read from the visitor again."""
        ...

    def start_tunnel(self) -> None:
        """Forward bytes in both directions without parsing them (after a 101)."""
        ...

    def end_exchange(self, *, keep_alive: bool) -> None:
        """End the exchange: its response is written."""
        ...

    def abort_response(self, *, self_delimited: bool = False) -> None:
        """Close before the end of the response, so that the visitor notices the truncation.

        :param self_delimited: the response has a length or chunks, so an orderly close shows the truncation.
        """
        ...


class UsualVisitor(VisitorSide, Protocol):
    """A visitor's connection, as the exchange of a usual request uses it."""

    def continue_exchange(self, exchange: ExchangeInterface) -> None:
        """Another object continues the running exchange."""
        ...


class UsualExchangeInterface(ExchangeInterface, Protocol):
    """The usual exchanges of one visitor connection (:mod:`lbcompanion.node.proxy.usual_exchange`)."""

    def takes(self, data: bytes) -> bool:
        """Whether these bytes are a usual request that can be sent now. If so, ``start`` has to follow."""
        ...


def reset(transport: Transport) -> None:
    """Close with a TCP reset: a response that ends with the connection must not look complete.

    asyncio's ``abort`` closes in an orderly way unless the socket has SO_LINGER with timeout 0 (socket(7)). Twisted
    sets it itself.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def peer_host(transport: Transport) -> str:
    """The peer's IP address as text; empty for a unix socket."""
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple) and name:
        host = str(name[0])
        return host.removeprefix("::ffff:") if "." in host else host
    return ""
