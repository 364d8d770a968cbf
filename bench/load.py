"""The visitors: a closed loop over some kept connections, bounded in requests and in time; every answer is judged.

Runs as a process of its own (``python -m bench.load``) and prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import statistics
import time
from itertools import cycle
from typing import Any

from bench.answers import Answer, Wrong
from bench.workload import CODINGS, request

_READ_BYTES = 65536
_VISITORS = 997


class _Visitor:
    """One kept connection, one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = Answer()
        self.asked_at = 0

    def ask(self, wanted: bytes) -> None:
        self.answer = Answer()
        self.asked_at = time.perf_counter_ns()
        self.socket.sendall(wanted)


class Load:
    """One load on one port.

    :param tagged: whether every page must have a tag, each with a token of its own.
    :param seconds: when to give up.
    """

    def __init__(self, port: int, coding: str, tagged: bool, requests: int, connections: int, seconds: float) -> None:
        self._port = port
        self._coding = coding
        self._tagged = tagged
        self._requests = requests
        self._connections = min(connections, requests)
        self._deadline = time.monotonic() + seconds
        self._waits: list[int] = []
        self._tokens: set[str] = set()
        self._last_token = ""

    def run(self) -> dict[str, Any]:
        """Put the load on.

        :returns: what was done, times in microseconds.
        :raises Wrong: for the first answer that is not right, and where time is over.
        """
        wanted = cycle([request(self._coding, number) for number in range(1, _VISITORS + 1)])
        selector = selectors.DefaultSelector()
        visitors = [_Visitor(self._port) for _ in range(self._connections)]
        begun = time.perf_counter()
        for visitor in visitors:
            selector.register(visitor.socket, selectors.EVENT_READ, visitor)
            visitor.ask(next(wanted))
        left = self._requests - len(visitors)
        while len(self._waits) < self._requests:
            for key, _ in self._ready(selector):
                visitor = key.data
                if self._read(visitor) and left > 0:
                    left -= 1
                    visitor.ask(next(wanted))
        took = time.perf_counter() - begun
        for visitor in visitors:
            visitor.socket.close()
        if self._tagged and len(self._tokens) != self._requests:
            raise Wrong("a token was given twice")
        return {
            "requests": self._requests,
            "per_second": self._requests / took,
            "p50_us": statistics.median(self._waits) / 1000,
            "last_token": self._last_token,
        }

    def _ready(self, selector: selectors.BaseSelector) -> list[tuple[selectors.SelectorKey, int]]:
        if time.monotonic() > self._deadline:
            raise Wrong(f"only {len(self._waits)} of {self._requests} answers in time")
        return selector.select(1)

    def _read(self, visitor: _Visitor) -> bool:
        data = visitor.socket.recv(_READ_BYTES)
        if not data:
            raise Wrong("the connection was closed")
        visitor.answer.feed(data)
        if not visitor.answer.whole:
            return False
        self._waits.append(time.perf_counter_ns() - visitor.asked_at)
        token = visitor.answer.check(self._coding, self._tagged)
        if token:
            self._tokens.add(token)
            self._last_token = token
        return True


def main() -> int:
    """Read the command line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--coding", choices=CODINGS, default="identity")
    parser.add_argument("--tagged", action="store_true")
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60)
    given = parser.parse_args()
    try:
        told = Load(given.port, given.coding, given.tagged, given.requests, given.connections, given.seconds).run()
    except (Wrong, OSError) as error:
        print(json.dumps({"wrong": str(error) or type(error).__name__}))
        return 1
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
