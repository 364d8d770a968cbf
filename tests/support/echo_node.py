"""``python -m tests.support.echo_node NAME=PORT ...``: nodes that answer with their names and the cookies they saw.
What a request's ``X-Sets`` says is set as a cookie.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


class EchoNode(asyncio.Protocol):
    def __init__(self, name: str) -> None:
        self._name = name
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while b"\r\n\r\n" in self._buffer:
            head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
            self._answer(head.decode("latin-1"))

    def _answer(self, head: str) -> None:
        fields = [line.partition(":")[::2] for line in head.split("\r\n")[1:]]
        cookies = [value.strip() for name, value in fields if name.lower() == "cookie"]
        sets = [value.strip() for name, value in fields if name.lower() == "x-sets"]
        body = json.dumps({"node": self._name, "cookies": cookies})
        lines = [
            "HTTP/1.1 200 OK",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            *(f"Set-Cookie: {one}" for one in sets),
        ]
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1"))
        if any(name.lower() == "connection" and value.strip().lower() == "close" for name, value in fields):
            self._transport.close()


async def main() -> None:
    loop = asyncio.get_running_loop()
    for argument in sys.argv[1:]:
        name, _, port = argument.partition("=")
        await loop.create_server(lambda name=name: EchoNode(name), "127.0.0.1", int(port))  # type: ignore[misc]
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
