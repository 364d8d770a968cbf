"""The application: one page, answered at once. ``python -m bench.origin`` prints its port and runs until it is ended.

Its CPU is not measured; it is only to be no bottleneck.
"""

from __future__ import annotations

import asyncio
import sys
from typing import ClassVar

from bench.workload import answer


class _Origin(asyncio.Protocol):
    answers: ClassVar = {False: answer("identity"), True: answer("gzip")}

    def __init__(self) -> None:
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = transport.write  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        data = self._waiting + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            self._write(self.answers[b"\naccept-encoding: gzip" in data[:end].lower()])
            data = data[end + 4 :]
        self._waiting = data


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Origin, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    # Whoever started this one holds its standard input: it ends when that one does, however that may be.
    await asyncio.to_thread(sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(_serve())
