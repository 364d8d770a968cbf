"""Every link says the same words: those over sockets, asyncio's own transports, Twisted's, and those in memory."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from lbcompanion.node.proxy.interface import Transport, peer_host
from lbcompanion.node.transports.socket_transport import SocketTransport
from lbcompanion.node.transports.twisted_transport import TwistedTransport
from lbcompanion.testing.memory_transport import MemoryLoop, MemoryTransport
from tests.support.echo_machine import Echo

WORDS = [name for name, _ in inspect.getmembers(Transport, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("kind", [MemoryTransport, SocketTransport, TwistedTransport, asyncio.Transport])
@pytest.mark.parametrize("word", WORDS)
def test_every_kind_knows_every_word(kind: type, word: str) -> None:
    theirs = inspect.signature(getattr(kind, word)).parameters
    assert list(theirs) == list(inspect.signature(getattr(Transport, word)).parameters)


@pytest.mark.parametrize(
    ("peername", "host"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::1", 5, 0, 0), "::1"),
        (("::ffff:192.0.2.1", 5, 0, 0), "192.0.2.1"),
        (("::ffff:1", 5, 0, 0), "::ffff:1"),
        ("", ""),
        (None, ""),
        (b"\0abstract", ""),
    ],
)
def test_the_peers_address(peername: object, host: str) -> None:
    assert peer_host(MemoryTransport(MemoryLoop(), Echo(), peername)) == host
