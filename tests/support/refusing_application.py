"""An application that answers an upload with 413 and closes before it has read the body, as real ones do."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lbcompanion.demo.ports import LOOPBACK

ANSWER = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch"


@contextmanager
def refusing_application(context: ssl.SSLContext | None) -> Iterator[int]:
    """Serve on loopback while the context is entered; gives the port.

    :param context: for TLS; None for plain connections.
    """
    with socket.create_server((LOOPBACK, 0), backlog=64) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connected, _ = listening.accept()
                    threading.Thread(target=_refuse, args=(connected, context), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)


def _refuse(connected: socket.socket, context: ssl.SSLContext | None) -> None:
    with suppress(OSError):
        # Else the kernel holds the answer back until the session tickets are acknowledged, and a reset discards it.
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = connected if context is None else context.wrap_socket(connected, server_side=True)
        with link:
            link.settimeout(60)
            found = b""
            while b"\r\n\r\n" not in found:
                data = link.recv(4096)
                if not data:
                    return
                found += data
            link.sendall(ANSWER)
            # Closed with unread bytes: Linux sends a reset.
