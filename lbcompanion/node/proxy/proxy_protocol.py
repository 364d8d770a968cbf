"""Connections on their way to a visitor's machine: they wait for the balancer's PROXY header, or for TLS to begin.

No I/O here: :mod:`.asyncio_links` and :mod:`.twisted_links` say what follows once the header is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lbcompanion.node.proxy.context import ProxyContext
from lbcompanion.node.proxy.interface import ConnectionHandler, Transport, peer_host
from lbcompanion.node.proxy.proxy_header import BadProxyHeader, ProxyHeader, read_proxy_header


class PendingConnections:
    """The connections of one process that are on their way; bounded in number and time by the visitors' limits."""

    def __init__(self, context: ProxyContext) -> None:
        self.context = context
        self._waiting: set[ProxyHeaderHandler] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, handler: ProxyHeaderHandler) -> bool:
        """Whether one more may be waited for."""
        if len(self._waiting) + len(self.context.connections) >= self.context.limits.connections:
            self.context.counters.connections_refused += 1
            return False
        self._waiting.add(handler)
        return True

    def end(self, handler: ProxyHeaderHandler) -> None:
        """It got its header, or is gone."""
        self._waiting.discard(handler)

    def refuse(self, peer: str, why: str) -> None:
        """Count and tell a connection that is closed without an answer."""
        self.context.counters.connections_refused += 1
        self.context.log("PROXY header refused", f"{peer or 'unix socket'}: {why}")

    def tick(self, now: float) -> None:
        """Give up those that take too long."""
        for handler in list(self._waiting):
            handler.tick(now)


class ProxyHeaderHandler:
    """The machine at the end of a connection whose first bytes are a PROXY header.

    Only ``trusted_proxies`` may send one: any other peer is closed unheard, as is a peer that sends none, or none in
    time (``limits.head_seconds`` from the accept on).

    :param on_header: ``on_header(transport, header, rest)`` goes on with the visitor: ``rest`` is what came behind the header.
    """

    def __init__(self, pending: PendingConnections, on_header: Callable[[Any, ProxyHeader, bytes], None]) -> None:
        self._pending = pending
        self._on_header = on_header
        self._buffer = b""
        self._awaiting_header = False
        self._deadline = 0.0

    def connection_made(self, transport: Transport) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
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
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
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
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
        self._remove()

    def pause_writing(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`; nothing is written here."""

    def resume_writing(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`; nothing is written here."""

    def tick(self, now: float) -> None:
        """Give up where the header does not come."""
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
    """A link that says of its peer what the balancer told; all else is the link's own, called without a detour.

    :param encrypted: None: as the link itself says.
    """

    def __init__(self, transport: Any, peername: tuple[str, int] | None, encrypted: bool | None) -> None:
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
        """See :class:`~lbcompanion.node.proxy.interface.Transport`."""
        if name == "peername" and self._peername is not None:
            return self._peername
        if name == "ssl_object" and self._encrypted is not None:
            return self._encrypted
        return self._get_extra_info(name, default)


class WithClientAddress:
    """A machine in front of another that hands it a :class:`ClientAddressTransport`; what follows goes straight to the other."""

    def __init__(self, handler: ConnectionHandler, header: ProxyHeader) -> None:
        self._handler = handler
        self._header = header
        self.data_received = handler.data_received
        self.eof_received = handler.eof_received
        self.connection_lost = handler.connection_lost
        self.pause_writing = handler.pause_writing
        self.resume_writing = handler.resume_writing

    def connection_made(self, transport: Transport) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.ConnectionHandler`."""
        self._handler.connection_made(ClientAddressTransport(transport, self._header.source, self._header.encrypted))


if TYPE_CHECKING:
    _handler: type[ConnectionHandler] = ProxyHeaderHandler
    _handler = WithClientAddress
    _transport: type[Transport] = ClientAddressTransport
