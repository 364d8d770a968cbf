"""Connections on their way to a visitor's machine: they wait for the balancer's PROXY header, or for TLS to begin.

No I/O here: :mod:`.asyncio_links` and :mod:`.twisted_links` say what follows once the header is read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lbcompanion.node.proxy.context import Hub
from lbcompanion.node.proxy.interface import Link, Machine, peer_host
from lbcompanion.node.proxy.proxy_header import BadProxyHeader, ProxyHeader, read


class Openings:
    """The connections of one process that are on their way; bounded in number and time by the visitors' limits."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._waiting: set[HeaderFirst] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def begin(self, opening: HeaderFirst) -> bool:
        """Whether one more may be waited for."""
        if len(self._waiting) + len(self.hub.connections) >= self.hub.limits.connections:
            self.hub.counters.connections_refused += 1
            return False
        self._waiting.add(opening)
        return True

    def end(self, opening: HeaderFirst) -> None:
        """It got its header, or is gone."""
        self._waiting.discard(opening)

    def refuse(self, peer: str, why: str) -> None:
        """Count and tell a connection that is closed without an answer."""
        self.hub.counters.connections_refused += 1
        self.hub.log("PROXY header refused", f"{peer or 'unix socket'}: {why}")

    def tick(self, now: float) -> None:
        """Give up those that take too long."""
        for opening in list(self._waiting):
            opening.tick(now)


class HeaderFirst:
    """The machine at the end of a connection whose first bytes are a PROXY header.

    Only ``trusted_proxies`` may send one: any other peer is closed unheard, as is a peer that sends none, or none in
    time (``limits.head_seconds`` from the accept on).

    :param done: ``done(link, header, rest)`` goes on with the visitor: ``rest`` is what came behind the header.
    """

    def __init__(self, openings: Openings, done: Callable[[Any, ProxyHeader, bytes], None]) -> None:
        self._openings = openings
        self._done = done
        self._buffer = b""
        self._open = False
        self._deadline = 0.0

    def connection_made(self, link: Link) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Machine`."""
        self.link = link
        openings = self._openings
        self._peer = peer_host(link)
        if not openings.hub.trusts(self._peer):
            self._refuse("no trusted proxy")
        elif openings.begin(self):
            self._open = True
            self._deadline = openings.hub.monotonic() + openings.hub.limits.head_seconds
        else:
            link.abort()

    def data_received(self, data: bytes) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Machine`."""
        if not self._open:
            return
        self._buffer += data
        try:
            header = read(self._buffer)
        except BadProxyHeader as error:
            self._refuse(str(error))
            return
        if header is not None:
            rest, self._buffer = self._buffer[header.size :], b""
            self._leave()
            self._done(self.link, header, rest)

    def eof_received(self) -> bool:
        """See :class:`~lbcompanion.node.proxy.interface.Machine`."""
        return False

    def connection_lost(self, exc: BaseException | None) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Machine`."""
        self._leave()

    def pause_writing(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Machine`; nothing is written here."""

    def resume_writing(self) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Machine`; nothing is written here."""

    def tick(self, now: float) -> None:
        """Give up where the header does not come."""
        if self._open and now > self._deadline:
            self._openings.hub.counters.timeouts["proxy header"] += 1
            self._leave()
            self.link.abort()

    def _refuse(self, why: str) -> None:
        self._leave()
        self._openings.refuse(self._peer, why)
        self.link.abort()

    def _leave(self) -> None:
        self._open = False
        self._buffer = b""
        self._openings.end(self)


class ToldLink:
    """A link that says of its peer what the balancer told; all else is the link's own, called without a detour.

    :param encrypted: None: as the link itself says.
    """

    def __init__(self, link: Any, peername: tuple[str, int] | None, encrypted: bool | None) -> None:
        self._get_extra_info = link.get_extra_info
        self._peername = peername
        self._encrypted = encrypted
        self.write: Callable[[bytes], None] = link.write
        self.writelines: Callable[[Sequence[bytes | memoryview]], None] = link.writelines
        self.close: Callable[[], None] = link.close
        self.write_eof: Callable[[], None] = link.write_eof
        self.abort: Callable[[], None] = link.abort
        self.pause_reading: Callable[[], None] = link.pause_reading
        self.resume_reading: Callable[[], None] = link.resume_reading
        self.get_write_buffer_size: Callable[[], int] = link.get_write_buffer_size

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See :class:`~lbcompanion.node.proxy.interface.Link`."""
        if name == "peername" and self._peername is not None:
            return self._peername
        if name == "ssl_object" and self._encrypted is not None:
            return self._encrypted
        return self._get_extra_info(name, default)


class Told:
    """A machine in front of another that hands it a :class:`ToldLink`; what follows goes straight to the other."""

    def __init__(self, machine: Machine, header: ProxyHeader) -> None:
        self._machine = machine
        self._header = header
        self.data_received = machine.data_received
        self.eof_received = machine.eof_received
        self.connection_lost = machine.connection_lost
        self.pause_writing = machine.pause_writing
        self.resume_writing = machine.resume_writing

    def connection_made(self, link: Link) -> None:
        """See :class:`~lbcompanion.node.proxy.interface.Machine`."""
        self._machine.connection_made(ToldLink(link, self._header.source, self._header.encrypted))


if TYPE_CHECKING:
    _machine: type[Machine] = HeaderFirst
    _machine = Told
    _link: type[Link] = ToldLink
