"""Opening the visitors' listeners and reaching the application, on whichever transports fit the reactor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectError, ConnectionRefusedError, TimeoutError
from twisted.python.failure import Failure

from lbcompanion.endpoint_strings import parse
from lbcompanion.node.asyncio_links import AsyncioDialer, listen_tcp
from lbcompanion.node.links import Machine
from lbcompanion.node.twisted_links import MachineFactory
from lbcompanion.node.upstream import UpstreamConnection


class Listener:
    """An open listener; :ivar port: 0 for one that has none (a unix socket)."""

    def __init__(self, port: int, close: Callable[[], Any]) -> None:
        self.port = port
        self._close = close

    def close(self) -> Any:
        """Take no more connections; those that stand go on. May give a Deferred."""
        return self._close()


async def listen(
    description: str, make: Callable[[], Machine], reactor: Any, loop: asyncio.AbstractEventLoop | None
) -> Listener:
    """Open one listener.

    :param description: a Twisted server endpoint string.
    :param loop: the loop that the reactor runs on; None: Twisted's own transports are used.
    :raises OSError: (or Twisted's ``CannotListenError``) where it cannot be opened.
    """
    endpoint = parse(description)
    if loop is not None and endpoint.kind == "tcp" and "backlog" not in endpoint.options:
        host = endpoint.options.get("interface") or None
        opening = listen_tcp(loop, make, host, int(endpoint.args[0]))
        server: asyncio.Server = await Deferred.fromFuture(asyncio.ensure_future(opening, loop=loop))
        return Listener(server.sockets[0].getsockname()[1], server.close)
    port: Any = await serverFromString(reactor, description).listen(MachineFactory(make))
    return Listener(getattr(port.getHost(), "port", 0), port.stopListening)


def dialer(
    description: str, timeout_seconds: float, reactor: Any, loop: asyncio.AbstractEventLoop | None
) -> Callable[[UpstreamConnection], None]:
    """How to reach the application.

    :param description: a Twisted client endpoint string.
    """
    endpoint = parse(description)
    if loop is not None and endpoint.kind == "tcp" and not endpoint.options:
        return AsyncioDialer(loop, ("tcp", endpoint.args[0], int(endpoint.args[1])), timeout_seconds)
    if loop is not None and endpoint.kind == "unix" and not endpoint.options:
        return AsyncioDialer(loop, ("unix", endpoint.args[0]), timeout_seconds)
    client = clientFromString(reactor, description)

    def dial(upstream: UpstreamConnection) -> None:
        def failed(failure: Failure) -> None:
            # An error in the machine is not one of dialling; whoever waits must hear of it all the same.
            if upstream.link is None:
                upstream.dial_failed(_word(failure))

        connecting = client.connect(MachineFactory.of_one(upstream))
        connecting.addTimeout(timeout_seconds, reactor)
        connecting.addErrback(failed)

    return dial


def _word(failure: Failure) -> str:
    if failure.check(ConnectionRefusedError):
        return "refused"
    if failure.check(TimeoutError, asyncio.TimeoutError):
        return "timeout"
    return "unreachable" if failure.check(ConnectError, OSError) else "failed"
