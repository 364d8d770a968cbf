"""How processes of the companion are started, and how long is waited for them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
#: How long is waited for what happens at once on an idle machine: an upper bound that no passing test reaches.
WAIT = 60.0
TWISTD = "from twisted.scripts.twistd import run; run()"


def read_on(asking: socket.socket, until: Callable[[bytes], bool] = lambda found: False) -> bytes:
    """Read to the end, or until something is so."""
    found = bytearray()
    while not until(found):
        try:
            data = asking.recv(1_000_000)
        except ConnectionResetError:
            break
        if not data:
            break
        found += data
    return bytes(found)


def read_all(asking: socket.socket) -> bytes:
    """Read to the end.

    :raises ConnectionResetError: nothing came. A process that ends closes the connections that it had not accepted yet,
        so who asks in that moment is answered like one who comes a moment later.
    """
    received = read_on(asking)
    if not received:
        raise ConnectionResetError("the connection was closed without an answer")
    return received
