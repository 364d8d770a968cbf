"""Every link says the same words: those over sockets, asyncio's own transports, Twisted's, and those in memory."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from lbcompanion.node.proxy.interface import Link, peer_host
from lbcompanion.node.transports.socket_transport import SocketLink
from lbcompanion.node.transports.twisted_transport import TwistedLink
from lbcompanion.testing.links import FarEnd, MemoryLink, MemoryLoop
from tests.support.echo_machine import Echo

WORDS = [name for name, _ in inspect.getmembers(Link, inspect.isfunction) if not name.startswith("_")]


@pytest.mark.parametrize("kind", [MemoryLink, SocketLink, TwistedLink, asyncio.Transport])
@pytest.mark.parametrize("word", WORDS)
def test_every_kind_knows_every_word(kind: type, word: str) -> None:
    theirs = inspect.signature(getattr(kind, word)).parameters
    assert list(theirs) == list(inspect.signature(getattr(Link, word)).parameters)


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
    assert peer_host(MemoryLink(MemoryLoop(), Echo(), peername)) == host


def connected(keeps: bool = False) -> tuple[MemoryLoop, Echo, FarEnd]:
    loop, machine = MemoryLoop(), Echo(keeps)
    return loop, machine, MemoryLink(loop, machine).connect()


def test_memory_links_carry_bytes_in_order_and_close_behind_them() -> None:
    loop, machine, far = connected()
    far.send(b"a", b"b")
    far.send_eof()
    assert far.received == b""
    loop.run()
    assert (far.received, far.pieces, far.closed) == (b"ab", 2, True)
    assert machine.told == ["eof", None]


def test_memory_links_tell_of_a_full_queue() -> None:
    loop, machine, far = connected(True)
    far.stop_reading()
    far.send(bytes(60_000), bytes(60_000))
    loop.run()
    assert machine.told == ["pause"]
    machine.link.close()
    loop.run()
    assert not far.closed
    far.read_again()
    loop.run()
    assert len(far.received) == 120_000
    assert machine.told == ["pause", "resume", None]


def test_memory_links_can_be_paused_and_broken() -> None:
    loop, machine, far = connected(True)
    machine.link.pause_reading()
    far.send(b"a")
    loop.run()
    assert (far.received, far.is_read) == (b"", False)
    machine.link.resume_reading()
    loop.run()
    assert far.received == b"a"
    machine.link.write_eof()
    assert far.eof
    far.reset()
    assert isinstance(machine.told[0], ConnectionResetError)
    loop, machine, far = connected()
    machine.link.abort()
    loop.run()
    assert (far.aborted, machine.told) == (True, [None])
