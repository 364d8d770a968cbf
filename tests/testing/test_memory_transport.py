"""Connections in memory behave as asyncio's transports do."""

from __future__ import annotations

from lbcompanion.testing.memory_transport import MemoryLoop, MemoryTransport, RemoteEnd
from tests.support.echo_machine import Echo


def connected(keeps: bool = False) -> tuple[MemoryLoop, Echo, RemoteEnd]:
    loop, machine = MemoryLoop(), Echo(keeps)
    return loop, machine, MemoryTransport(loop, machine).connect()


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
    machine.transport.close()
    loop.run()
    assert not far.closed
    far.resume_reading()
    loop.run()
    assert len(far.received) == 120_000
    assert machine.told == ["pause", "resume", None]


def test_memory_links_can_be_paused_and_broken() -> None:
    loop, machine, far = connected(True)
    machine.transport.pause_reading()
    far.send(b"a")
    loop.run()
    assert (far.received, far.is_read) == (b"", False)
    machine.transport.resume_reading()
    loop.run()
    assert far.received == b"a"
    machine.transport.write_eof()
    assert far.eof
    far.reset()
    assert isinstance(machine.told[0], ConnectionResetError)
    loop, machine, far = connected()
    machine.transport.abort()
    loop.run()
    assert (far.aborted, machine.told) == (True, [None])
