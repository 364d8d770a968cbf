"""Reserves free loopback ports until a process listens on them."""

from __future__ import annotations

import socket

LOOPBACK = "127.0.0.1"


class ReservedPorts:
    """Free ports that no other process can get meanwhile.

    A port that was bound and closed again may be taken by any outgoing connection before its owner starts. So the
    sockets stay bound, without listening. ``SO_REUSEADDR``, set after the bind, lets one listener that sets it too
    (Twisted's, asyncio's and HAProxy's do) take the port anyway (Linux, socket(7)).
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def take(self) -> int:
        """Choose a free port and reserve it.

        :raises OSError: if no port is free.
        """
        reserved = socket.socket()
        self._sockets.append(reserved)
        reserved.bind((LOOPBACK, 0))
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port: int = reserved.getsockname()[1]
        return port

    def release(self) -> None:
        """Release all reserved ports."""
        while self._sockets:
            self._sockets.pop().close()
