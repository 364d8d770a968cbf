"""Accepted connections that still wait for the balancer's PROXY header. No I/O.

:mod:`~lbcompanion.node.transports.asyncio_transport` and :mod:`~lbcompanion.node.transports.twisted_transport` install
the next handler (TLS or the visitor's) after the header.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lbcompanion.node.proxy.context import ProxyContext
from lbcompanion.node.proxy.interface import ConnectionHandler, Transport, peer_host
from lbcompanion.node.proxy.proxy_header import BadProxyHeader, ProxyHeader, read_proxy_header


class PendingConnections:
    """The connections of one process that wait for a PROXY header; they count towards ``limits.connections``."""

    def __init__(self, context: ProxyContext) -> None:
        self.context = context
        self._waiting: set[ProxyHeaderHandler] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, handler: ProxyHeaderHandler) -> bool:
        """Register a handler; False if the connection limit is reached."""
        if len(self._waiting) + len(self.context.connections) >= self.context.limits.connections:
            self.context.counters.connections_refused += 1
            return False
        self._waiting.add(handler)
        return True

    def end(self, handler: ProxyHeaderHandler) -> None:
        """Unregister a handler: its header was read, or its connection is closed."""
        self._waiting.discard(handler)

    def refuse(self, peer: str, why: str) -> None:
        """Count and log a connection that is closed without a response."""
        self.context.counters.connections_refused += 1
        self.context.log("PROXY header refused", f"{peer or 'unix socket'}: {why}")

    def tick(self, now: float) -> None:
        """Close the connections whose deadline has passed."""
        for handler in list(self._waiting):
            handler.tick(now)


class ProxyHeaderHandler:
    """The first handler of a connection that begins with a PROXY header.

    Only ``trusted_proxies`` may send one. The connection of another peer is closed at once; so is a connection without
    a valid header within ``limits.head_seconds`` after the accept.

    :param on_header: ``on_header(transport, header, rest)`` continues: ``rest`` is what followed the header.
    """

    def __init__(self, pending: PendingConnections, on_header: Callable[[Any, ProxyHeader, bytes], None]) -> None:
        self._pending = pending
        self._on_header = on_header
        self._buffer = b""
        self._awaiting_header = False
        self._deadline = 0.0

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        pending = self._pending
        self._peer = peer_host(transport)
        if not pending.context.trusts(self._peer):
            self._refuse("no trusted proxy")
        elif pending.begin(self):
            self._awaiting_header = True
            self._deadline = pending.context.monotonic() + pending.context.limits.head_seconds
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._awaiting_header:
            return
        self._buffer += data
        try:
            header = read_proxy_header(self._buffer)
        except BadProxyHeader as error:
            self._refuse(str(error))
            return
        if header is not None:
            rest, self._buffer = self._buffer[header.size :], b""
            self._remove()
            self._on_header(self.transport, header, rest)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        self._remove()

    def pause_writing(self) -> None:
        """Ignore it: this handler writes nothing."""

    def resume_writing(self) -> None:
        """Ignore it: this handler writes nothing."""

    def tick(self, now: float) -> None:
        """Close the connection if its header is overdue."""
        if self._awaiting_header and now > self._deadline:
            self._pending.context.counters.timeouts["proxy header"] += 1
            self._remove()
            self.transport.abort()

    def _refuse(self, why: str) -> None:
        self._remove()
        self._pending.refuse(self._peer, why)
        self.transport.abort()

    def _remove(self) -> None:
        self._awaiting_header = False
        self._buffer = b""
        self._pending.end(self)


class ClientAddressTransport:
    """A transport with the client address of the PROXY header; all other methods are those of the inner transport.

    :param encrypted: whether the visitor used TLS to the balancer; None asks the inner transport.
    """

    def __init__(self, transport: Any, peername: tuple[str, int] | None, *, encrypted: bool | None) -> None:
        self._get_extra_info = transport.get_extra_info
        self._peername = peername
        self._encrypted = encrypted
        self.write: Callable[[bytes], None] = transport.write
        self.writelines: Callable[[Sequence[bytes | memoryview]], None] = transport.writelines
        self.close: Callable[[], None] = transport.close
        self.write_eof: Callable[[], None] = transport.write_eof
        self.abort: Callable[[], None] = transport.abort
        self.pause_reading: Callable[[], None] = transport.pause_reading
        self.resume_reading: Callable[[], None] = transport.resume_reading
        self.get_write_buffer_size: Callable[[], int] = transport.get_write_buffer_size

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "peername" and self._peername is not None:
            return self._peername
        if name == "ssl_object" and self._encrypted is not None:
            return self._encrypted
        return self._get_extra_info(name, default)


class WithClientAddress:
    """Connects a handler to a :class:`ClientAddressTransport`; later events go to the handler directly."""

    def __init__(self, handler: ConnectionHandler, header: ProxyHeader) -> None:
        self._handler = handler
        self._header = header
        self.data_received = handler.data_received
        self.eof_received = handler.eof_received
        self.connection_lost = handler.connection_lost
        self.pause_writing = handler.pause_writing
        self.resume_writing = handler.resume_writing

    def connection_made(self, transport: Transport) -> None:
        self._handler.connection_made(
            ClientAddressTransport(transport, self._header.source, encrypted=self._header.encrypted)
        )


if TYPE_CHECKING:
    _handler: type[ConnectionHandler] = ProxyHeaderHandler
    _handler = WithClientAddress
    _transport: type[Transport] = ClientAddressTransport
