"""Connects plain sockets on asyncio's loop without a task: on loopback a connection is established within the call.

asyncio's ``sock_connect`` takes two iterations of the loop, and reports a Unix socket as connected although the queue
of the application was full (EAGAIN of connect(2)).
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

#: The socket family and the address for connect(2).
Address = tuple[socket.AddressFamily, Any]

#: How long the addresses of a name are used before the name is looked up again.
RESOLVED_SECONDS = 1.0
# How soon a connection to a Unix socket whose queue is full is tried again.
_FULL_SECONDS = 0.005


class Connecting:
    """Connects a socket to the first address that accepts.

    :param addresses: tried in order.
    :param bind_address: the source address; empty for any.
    :param connected: called with the non-blocking socket, perhaps within :meth:`start`.
    :param failed: called with the error of the last address, never within :meth:`start`.
    """

    __slots__ = (
        "_addresses",
        "_bind_address",
        "_cancelled",
        "_connected",
        "_failed",
        "_loop",
        "_retry_timer",
        "_socket",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        addresses: Sequence[Address],
        bind_address: str,
        connected: Callable[[socket.socket], None],
        failed: Callable[[OSError], None],
    ) -> None:
        self._loop = loop
        self._addresses = iter(addresses)
        self._bind_address = bind_address
        self._connected = connected
        self._failed = failed
        self._socket: socket.socket | None = None
        self._retry_timer: asyncio.TimerHandle | None = None
        self._cancelled = False

    @property
    def pending(self) -> bool:
        """Whether a socket is still being connected."""
        return self._socket is not None

    def start(self) -> None:
        """Start with the first address."""
        self._try_next(OSError("no address is known"))

    def cancel(self) -> None:
        """Give up; neither function is called from now on."""
        self._cancelled = True
        self._drop_socket()

    def _drop_socket(self) -> None:
        if self._socket is not None:
            self._stop_waiting(self._socket)
            self._socket.close()
            self._socket = None

    def _try_next(self, failure: OSError) -> None:
        for family, address in self._addresses:
            try:
                sock = self._socket = socket.socket(family, socket.SOCK_STREAM)
                sock.setblocking(False)
                if family is not socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    if self._bind_address:
                        sock.bind((self._bind_address, 0))
                error = self._connect(sock, address)
            except OSError as raised:
                failure = raised
            else:
                if not error:
                    return
                failure = _os_error(error)
            self._drop_socket()
        self._loop.call_soon(self._fail, failure)

    def _fail(self, failure: OSError) -> None:
        if not self._cancelled:
            self._failed(failure)

    def _connect(self, sock: socket.socket, address: Any) -> int:
        """Call connect(2); return an error number that ends the attempt, or 0."""
        error = sock.connect_ex(address)
        if error == errno.EINPROGRESS:
            # On loopback the handshake took place within the call; the second call returns its result.
            error = sock.connect_ex(address)
            if error in {errno.EALREADY, errno.EINPROGRESS}:
                self._loop.add_writer(sock.fileno(), self._writable)
                return 0
        if error == errno.EAGAIN and sock.family is socket.AF_UNIX:
            self._retry_timer = self._loop.call_later(_FULL_SECONDS, self._connect_again, address)
            return 0
        if error in {0, errno.EISCONN}:
            self._succeed(sock)
            return 0
        return error

    def _connect_again(self, address: Any) -> None:
        self._retry_timer = None
        assert self._socket is not None
        self._end_attempt(self._connect(self._socket, address))

    def _writable(self) -> None:
        sock = self._socket
        assert sock is not None
        self._stop_waiting(sock)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if not error:
            self._succeed(sock)
        self._end_attempt(error)

    def _end_attempt(self, error: int) -> None:
        if error:
            self._drop_socket()
            self._try_next(_os_error(error))

    def _succeed(self, sock: socket.socket) -> None:
        self._socket = None
        self._connected(sock)

    def _stop_waiting(self, sock: socket.socket) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None
        self._loop.remove_writer(sock.fileno())


def _os_error(error: int) -> OSError:
    """The subclass of OSError that belongs to an error number (ConnectionRefusedError, ...)."""
    return OSError(error, os.strerror(error))


class Target:
    """The addresses of one endpoint: fixed, or those of a name, which are looked up again after a second.

    :param target: ``("tcp", host, port)`` or ``("unix", path)``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, target: tuple[Any, ...]) -> None:
        self._loop = loop
        self._known: list[Address] = []
        self._known_until: float | None = None
        if target[0] == "unix":
            self._known = [(socket.AF_UNIX, target[1])]
            return
        self._host, self._port = target[1:]
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except socket.gaierror:
            self._known_until = 0.0
        else:
            self._known = _addresses(found)

    def known(self) -> list[Address]:
        """The addresses, if no lookup is necessary; else an empty list."""
        if self._known_until is not None and self._loop.time() >= self._known_until:
            return []
        return self._known

    async def resolve(self) -> list[Address]:
        """Look the name up.

        :raises OSError: if the name has no address.
        """
        found = await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        self._known = _addresses(found)
        self._known_until = self._loop.time() + RESOLVED_SECONDS
        return self._known

    def forget(self) -> None:
        """Look a name up again before the next connection: its addresses did not accept one."""
        if self._known_until is not None:
            self._known_until = 0.0


def _addresses(found: list[Any]) -> list[Address]:
    return [(family, address) for family, _, _, _, address in found]


async def connect_socket(loop: asyncio.AbstractEventLoop, target: Target, bind_address: str = "") -> socket.socket:
    """Connect a socket to the first address of a target that accepts.

    :param bind_address: the source address; empty for any.
    :raises OSError: the error of the last address.
    """
    addresses = target.known() or await target.resolve()
    future: asyncio.Future[socket.socket] = loop.create_future()

    def connected(sock: socket.socket) -> None:
        if future.done():
            sock.close()
        else:
            future.set_result(sock)

    connecting = Connecting(loop, addresses, bind_address, connected, future.set_exception)
    try:
        connecting.start()
        return await future
    except OSError:
        target.forget()
        raise
    except asyncio.CancelledError:
        connecting.cancel()
        if future.done() and not future.cancelled() and future.exception() is None:
            future.result().close()
        raise
