"""Receiving from a socket, sending to it, and waiting for events: compiled in ``_socket_io.c``, or in Python.

The compiled form does less around each system call. Its ``receive`` makes an object of the size of the data, where
``socket.recv`` makes a larger one and gives back the rest. All descriptors are non-blocking.
"""

from __future__ import annotations

import math
import os
import select
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

# epoll_wait(2) reports the other descriptors next time.
_MAX_EVENTS = 1024

#: What is called if there is something to read, by descriptor.
Readers = dict[int, Callable[[], None]]
#: Waits as :func:`python_wait` does, without its first parameter.
Wait = Callable[[int, Readers, Callable[[BaseException], object]], list[tuple[int, int]]]


def python_wait(
    epoll: select.epoll, milliseconds: int, readers: Readers, on_error: Callable[[BaseException], object]
) -> list[tuple[int, int]]:
    """Wait for events, and call the readers of the descriptors that have something to read and nothing else to report.

    :param milliseconds: -1 waits without a limit.
    :param on_error: called with the exception of a reader; not with those that end the process.
    :returns: the other descriptors, with the events of epoll(7); none after a signal.
    """
    try:
        found = epoll.poll(milliseconds / 1000 if milliseconds > 0 else milliseconds, _MAX_EVENTS)
    except InterruptedError:
        return []
    others = []
    for descriptor, event in found:
        # A reader that was called before may have removed this one.
        if event == select.EPOLLIN and descriptor in readers:
            try:
                readers[descriptor]()
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                on_error(error)
        else:
            others.append((descriptor, event))
    return others


def milliseconds_of(seconds: float | None) -> int:
    """A timeout of a selector for epoll_wait(2), rounded up: it does not return too early. None is no limit."""
    if seconds is None:
        return -1
    return math.ceil(seconds * 1e3) if seconds > 0 else 0


class SocketIo(NamedTuple):
    """One form of the calls.

    :ivar receive: ``receive(descriptor, size)``: the bytes that arrived, at most ``size``; empty at the end. Raises
        OSError.
    :ivar send: ``send(descriptor, data)``: how many bytes were taken. Raises OSError.
    :ivar waiter: makes a :data:`Wait` for an epoll(7).
    """

    receive: Callable[[int, int], bytes]
    send: Callable[[int, bytes | memoryview], int]
    waiter: Callable[[select.epoll], Wait]


#: The form without the compiled part.
IN_PYTHON = SocketIo(os.read, os.write, lambda epoll: partial(python_wait, epoll))


def _best() -> SocketIo:
    try:
        from lbcompanion.node.transports import _socket_io  # noqa: PLC0415 - it may not be there
    except ImportError:
        return IN_PYTHON
    return SocketIo(_socket_io.receive, _socket_io.send, lambda epoll: partial(_socket_io.wait, epoll.fileno()))


#: The form that is used: compiled, if the compiled part was built.
SOCKET_IO = _best()
