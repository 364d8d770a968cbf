"""A process's place among those that are one node: alone, or one of a supervisor's workers."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

from attrs import Factory, frozen
from twisted.internet.error import ReactorNotRunning


def new_group() -> str:
    """A name that no other group of processes has."""
    return os.urandom(6).hex()


@frozen
class ProcessRole:
    """Where a process stands.

    :ivar group: names those that come and go together.
    :ivar number: of a worker, from 1; 0: this process is the node's only one.
    :ivar sockets: a worker's listening sockets, one for each of ``node.listen``, in that order; for a process alone,
        those that it takes over, in any order.
    :ivar takes_over: whether an older process is still there, whose control socket is to be replaced.
    """

    group: str = Factory(new_group)
    number: int = 0
    sockets: tuple[socket.socket, ...] = ()
    takes_over: bool = False

    @property
    def delivers_notices(self) -> bool:
        """Whether it brings the node's notices to the crawler: they wait in one place, and one process does it."""
        return self.number <= 1


def stop_reactor(reactor: Any) -> None:
    """Stop it, unless it is stopping already."""
    with suppress(ReactorNotRunning):
        reactor.stop()
