"""The cost of treq, Twisted's agent and the crawler's client for one request of 10 KB: CPU time of this process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.web.client import Agent, readBody

from lbcompanion.crawler.fetching.http_client import Client, agent_for
from lbcompanion.web import connection_pool

_ROOT = Path(__file__).resolve().parents[2]
_REQUESTS = 300
_ROUNDS = 5

Fetch = Callable[[str], Awaitable[object]]


def _treq(persistent: bool) -> Fetch:
    client = HTTPClient(Agent(reactor, pool=connection_pool(reactor, persistent=persistent)))

    async def fetch(url: str) -> object:
        return await (await client.get(url)).content()

    return fetch


def _agent() -> Fetch:
    agent = Agent(reactor, pool=connection_pool(reactor, persistent=True))

    async def fetch(url: str) -> object:
        return await readBody(await agent.request(b"GET", url.encode()))

    return fetch


def _own(route: str) -> Fetch:
    client = Client(agent_for(reactor), reactor, 20.0)

    async def fetch(url: str) -> object:
        return await client.ask("GET", url, [], 1 << 20, route=route)

    return fetch


async def _measure(fetches: dict[str, Fetch], url: str) -> None:
    found: dict[str, list[float]] = {name: [] for name in fetches}
    for number in range(_ROUNDS + 1):
        for name, fetch in fetches.items():
            before = time.process_time()
            for _ in range(_REQUESTS):
                await fetch(url)
            if number:  # the first round warms up
                found[name].append(1e6 * (time.process_time() - before) / _REQUESTS)
    for name, each in found.items():
        print(f"{median(each):6.0f} us  {name}")


def main() -> None:
    """Print the medians of five rounds, in turns."""
    application = subprocess.Popen(
        [sys.executable, "-m", "bench.crawler.application"], cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert application.stdin is not None
    assert application.stdout is not None
    url = f"http://127.0.0.1:{int(application.stdout.readline())}/page"
    fetches = {
        "treq, a new connection each": _treq(persistent=False),
        "treq, a pool": _treq(persistent=True),
        "Twisted's agent, a pool": _agent(),
        "the crawler's client, a new connection each": _own(""),
        "the crawler's client, a kept connection": _own("own n1"),
    }
    running = Deferred.fromCoroutine(_measure(fetches, url))
    running.addErrback(lambda failure: print(failure.getTraceback()))
    running.addBoth(lambda _result: reactor.stop())
    reactor.run()
    application.stdin.close()
    application.wait()


if __name__ == "__main__":
    main()
