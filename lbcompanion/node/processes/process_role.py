"""The role of this process: the node's only process, or a worker of a supervisor."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Any

from attrs import Factory, frozen
from twisted.internet.error import ReactorNotRunning


def new_group() -> str:
    """A unique name for a group of processes."""
    return os.urandom(6).hex()


@frozen
class ProcessRole:
    """The role of this process among the node's processes.

    :ivar group: the name of the processes that start and stop together.
    :ivar number: of a worker, from 1; 0 if this is the node's only process.
    :ivar sockets: a worker's listening sockets, in the order of ``node.listen``; for a single process the sockets that
        it takes over, in any order.
    :ivar takes_over: whether an older process still runs, whose control socket has to be replaced.
    """

    group: str = Factory(new_group)
    number: int = 0
    sockets: tuple[socket.socket, ...] = ()
    takes_over: bool = False

    @property
    def delivers_notices(self) -> bool:
        """Whether this process sends the notices to the crawler: all processes share one spool, one sends it."""
        return self.number <= 1


def stop_reactor(reactor: Any) -> None:
    """Stop the reactor unless it is already stopping."""
    with suppress(ReactorNotRunning):
        reactor.stop()
