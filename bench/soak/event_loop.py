"""Many visitors in one thread: each is a generator that yields what it waits for."""

from __future__ import annotations

import heapq
import selectors
import socket
import time
from collections.abc import Generator, Iterable
from itertools import count

from bench.responses import WrongResponse

#: A visitor yields the socket it wants to read from, or the seconds that it wants to wait.
Waiting = socket.socket | float
Visit = Generator[Waiting, None, None]

_PATIENCE_SECONDS = 60.0


def run(visitors: Iterable[Visit]) -> None:
    """Run them all to their ends.

    :raises Wrong: what a visitor raises; also where all wait and nothing comes.
    """
    selector = selectors.DefaultSelector()
    pauses: list[tuple[float, int, Visit]] = []
    numbers = count()
    ready: list[Visit] = list(visitors)
    reading = 0
    while ready or pauses or reading:
        for visitor in ready:
            waiting = next(visitor, None)
            if isinstance(waiting, socket.socket):
                selector.register(waiting, selectors.EVENT_READ, visitor)
                reading += 1
            elif waiting is not None:
                heapq.heappush(pauses, (time.monotonic() + waiting, next(numbers), visitor))
        ready = []
        now = time.monotonic()
        timeout = max(0.0, pauses[0][0] - now) if pauses else _PATIENCE_SECONDS
        for key, _ in selector.select(timeout) if reading else ():
            selector.unregister(key.fileobj)
            reading -= 1
            ready.append(key.data)
        if not reading and pauses and not ready:
            time.sleep(timeout)
        now = time.monotonic()
        while pauses and pauses[0][0] <= now:
            ready.append(heapq.heappop(pauses)[2])
        if not ready and not pauses and reading:
            raise WrongResponse(f"{reading} visitors wait for an answer, and none comes")
