"""What the proxy expects of a connection, and its parts of each other; the words are those of :mod:`asyncio`.

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
    """One byte connection, as the machine at its end sees it."""

    def write(self, data: bytes) -> None:
        """Send, or queue what cannot go now; the machine is told to pause by ``pause_writing``."""
        ...

    def writelines(self, list_of_data: Sequence[bytes | memoryview]) -> None:
        """Write all of them, in their order."""
        ...

    def close(self) -> None:
        """Close once everything written is out."""
        ...

    def write_eof(self) -> None:
        """Tell the peer, behind everything written, that nothing more comes; what it sends is still read."""
        ...

    def abort(self) -> None:
        """Close at once; what is queued is lost."""
        ...

    def pause_reading(self) -> None:
        """Stop giving ``data_received``. Calling it twice is no error."""
        ...

    def resume_reading(self) -> None:
        """Give ``data_received`` again. Calling it twice is no error."""
        ...

    def get_write_buffer_size(self) -> int:
        """How many bytes wait to be taken by the peer, as far as that is known."""
        ...

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """``peername``: the peer's address as ``(host, port, ...)``, or something else where it has none;
        ``ssl_object``: something true where the connection is encrypted."""
        ...


class ConnectionHandler(Protocol):
    """The end of a connection: what a transport tells it."""

    def connection_made(self, transport: Transport) -> None:
        """The connection stands."""
        ...

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        ...

    def eof_received(self) -> bool:
        """The peer will send no more. Whether to keep our own direction open."""
        ...

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone; ``exc`` is None where it was closed in order."""
        ...

    def pause_writing(self) -> None:
        """The link's queue is full."""
        ...

    def resume_writing(self) -> None:
        """The link's queue is low again."""
        ...


class AnyExchange(Protocol):
    """One request and its answer, whoever answers."""

    @property
    def response_started(self) -> bool:
        """Whether the visitor got a first byte of the answer."""
        ...

    def body(self, data: bytes) -> None:
        """Bytes of the request's body."""
        ...

    def body_end(self, trailers: list[Field]) -> None:
        """The request's body is whole."""
        ...

    def visitor_full(self) -> None:
        """The visitor takes no more for now."""
        ...

    def visitor_drained(self) -> None:
        """It takes more again."""
        ...

    def visitor_lost(self) -> None:
        """The visitor is gone."""
        ...

    def made_progress(self) -> bool:
        """Whether anything came of the answer since this was last asked."""
        ...

    def tick(self, now: float) -> None:
        """Look at deadlines."""
        ...


class VisitorSide(Protocol):
    """A visitor's connection, as the exchange that runs on it sees it.

    :ivar full: the visitor takes no more for now.
    :ivar peer: the peer's address as text, empty for a unix socket.
    :ivar trusted: whether the peer is one of ``trusted_proxies``.
    """

    transport: Transport
    full: bool
    peer: str
    trusted: bool

    @property
    def keep_alive(self) -> bool:
        """Whether another request may follow on this connection."""
        ...

    def scheme(self, head: RequestHead) -> str:
        """``http`` or ``https``, as the visitor's browser spoke it."""
        ...

    def pause(self) -> None:
        """Stop reading from the visitor."""
        ...

    def resume(self) -> None:
        """Read from the visitor again."""
        ...

    def start_tunnel(self) -> None:
        """Pass bytes both ways unread from now on (after a 101)."""
        ...

    def done(self, keep_alive: bool) -> None:
        """The exchange is complete and its answer is written."""
        ...

    def abort_response(self, self_delimited: bool = False) -> None:
        """The answer cannot be completed: close so that the visitor sees that it was cut.

        :param self_delimited: a close shows it, because the answer said where it would end.
        """
        ...


def reset(transport: Transport) -> None:
    """Close at once so that the peer sees an error, not an end: where only the close tells where an answer ends.

    asyncio closes in order whatever is asked of it; the socket has to be told (SO_LINGER, socket(7)). Twisted does so
    by itself.
    """
    sock = transport.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def peer_host(transport: Transport) -> str:
    """The peer's address as text, empty for a peer that has none (a unix socket)."""
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple) and name:
        host = str(name[0])
        return host.removeprefix("::ffff:") if "." in host else host
    return ""
