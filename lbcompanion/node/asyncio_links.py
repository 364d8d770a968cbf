"""The machines on asyncio's own transports, which are links as they are: the fast way, on the standard loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from lbcompanion.node.links import Machine
from lbcompanion.node.upstream import UpstreamConnection

_BACKLOG = 2048


async def listen_tcp(
    loop: asyncio.AbstractEventLoop, make: Callable[[], Machine], host: str | None, port: int
) -> asyncio.Server:
    """Listen; each connection gets a fresh machine.

    :param host: None: all addresses.
    :raises OSError: where the port cannot be had.
    """
    # asyncio asks for its own base class in types only.
    factory: Any = make
    return await loop.create_server(factory, host, port, backlog=_BACKLOG, reuse_address=True)


class AsyncioDialer:
    """Makes connections to one address.

    :param where: ``("tcp", host, port)`` or ``("unix", path)``.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, where: tuple[Any, ...], timeout_seconds: float) -> None:
        self._loop = loop
        self._where = where
        self._timeout_seconds = timeout_seconds
        self._dialling: set[asyncio.Task[None]] = set()

    def __call__(self, upstream: UpstreamConnection) -> None:
        """Start; ends in the machine's ``connection_made`` or ``dial_failed``."""
        task = self._loop.create_task(self._dial(upstream))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(self, upstream: UpstreamConnection) -> None:
        factory: Any = lambda: upstream  # noqa: E731
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if self._where[0] == "unix":
                    await self._loop.create_unix_connection(factory, self._where[1])
                else:
                    await self._loop.create_connection(factory, self._where[1], self._where[2])
        except TimeoutError:
            upstream.dial_failed("timeout")
        except ConnectionRefusedError:
            upstream.dial_failed("refused")
        except OSError:
            upstream.dial_failed("unreachable")
