"""Several crawlers on one PostgreSQL: pages per second, and the time until the work of a killed crawler is done."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.crawler.farm import Crawler, Farm
from bench.crawler.postgres import Postgresql
from bench.peers.interface import PeerFailed
from bench.system_info import Cpu
from bench.targets import Verdict

#: The numbers of crawlers that are measured.
NUMBERS = (1, 2, 4, 8)
_MOST_SECONDS = 120.0
#: A killed crawler's claims end with their leases. The others look for work every 5 seconds.
_BESIDE_LEASE_SECONDS = 10.0
_OPEN = "SELECT count(*) FROM recordings WHERE outcome IS NULL"
_CLAIMED = "SELECT token FROM recordings WHERE outcome IS NULL AND claimed_by LIKE %s"
_STILL_OPEN = "SELECT count(*) FROM recordings WHERE outcome IS NULL AND token = ANY(%s)"
_LOST = "SELECT count(*) FROM recordings WHERE outcome IS NOT NULL AND outcome <> 'archived'"


def measure(
    folder: Path, most: int, rounds: int, pages: int, lease_seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """Start one crawler after another, and measure each of :data:`NUMBERS`; kill one of the last at the end.

    :param most: the largest number of crawlers.
    :param lease_seconds: how long a claim holds without being renewed.
    :returns: by number of crawlers the figures of each round and their medians; the figures of the recovery.
    :raises PeerFailed: if something does not start, or loses a page.
    """
    figures: dict[str, Any] = {}
    with Farm(folder / "farm") as farm:
        server = Postgresql(folder / "postgres", 0, farm.ports.take(), farm.ports.take())
        farm.add(server)
        queue = _Queue(server)
        crawlers: list[Crawler] = []
        for number in [each for each in NUMBERS if each <= most]:
            while len(crawlers) < number:
                name = f"crawler-{len(crawlers) + 1}"
                settings = f'name = "{name}"\nqueue = "{server.url}"\nlease_seconds = {lease_seconds}\n'
                crawlers.append(farm.crawler(name, {}, settings=settings))
            _round(farm, crawlers, queue, max(10, pages // 5))
            samples = []
            for _ in range(rounds):
                samples.append(_round(farm, crawlers, queue, pages))
                say(f"{number} crawlers: {samples[-1]['per_second']:.0f} pages/s")
            figures[str(number)] = {
                key: {"median": median(one[key] for one in samples), "rounds": [one[key] for one in samples]}
                for key in samples[0]
            }
        recovery = _recover(farm, crawlers, queue, pages, lease_seconds)
        lost = queue.count(_LOST)
    if lost:
        raise PeerFailed(f"{lost} pages were lost")
    return {
        "pages": pages,
        "figures": figures,
        "recovery": {**recovery, "crawlers": len(crawlers), "lease_seconds": lease_seconds},
    }


class _Queue:
    """Looks into the queue's tables."""

    def __init__(self, server: Postgresql) -> None:
        self.server = server
        self._connection = server.connect()

    def count(self, query: str, *values: object) -> int:
        row = self._connection.execute(query, values).fetchone()
        assert row is not None
        return int(row[0])

    def claimed(self, name: str) -> list[str]:
        """Return the tokens of the notices that a crawler works on."""
        return [str(row[0]) for row in self._connection.execute(_CLAIMED, [f"{name}/%"]).fetchall()]

    def wait_for_the_end(self, query: str, *values: object, seconds: float) -> float:
        """Wait until no notice is open; return how long that took."""
        begun = time.monotonic()
        while left := self.count(query, *values):
            if time.monotonic() - begun > seconds:
                raise PeerFailed(f"{left} notices are open after {seconds:.0f} s")
            time.sleep(0.05)
        return time.monotonic() - begun


def _deliver(farm: Farm, crawlers: Sequence[Crawler], pages: int) -> float:
    """Visit pages and deliver the notices to the crawlers, the same number to each; return when that began."""
    notices = farm.visit(pages, "/page")
    begun = time.monotonic()
    for number, crawler in enumerate(crawlers):
        crawler.deliver(notices[number :: len(crawlers)])
    return begun


def _round(farm: Farm, crawlers: Sequence[Crawler], queue: _Queue, pages: int) -> dict[str, float]:
    pids = [pid for crawler in crawlers for pid in crawler.pids]
    before, server_before = Cpu.of(pids), Cpu.of(queue.server.pids)
    begun = _deliver(farm, crawlers, pages)
    queue.wait_for_the_end(_OPEN, seconds=_MOST_SECONDS)
    seconds = time.monotonic() - begun
    return {
        "per_second": pages / seconds,
        "cpu_us": 1e6 * Cpu.of(pids).since(before).total / pages,
        "server_cpu_us": 1e6 * Cpu.of(queue.server.pids).since(server_before).total / pages,
    }


def _recover(
    farm: Farm, crawlers: Sequence[Crawler], queue: _Queue, pages: int, lease_seconds: float
) -> dict[str, float]:
    """Kill the last crawler while it works; return how much it worked on, and when the others have done that."""
    killed = crawlers[-1]
    deadline = time.monotonic() + _MOST_SECONDS
    claimed: list[str] = []
    while not claimed:
        if time.monotonic() > deadline:
            raise PeerFailed(f"{killed.folder.name} claims no notice")
        if not queue.count(_OPEN):
            _deliver(farm, crawlers, pages)
        # It must not end its work between the look into the queue and its own end.
        killed.send(signal.SIGSTOP)
        claimed = queue.claimed(killed.folder.name)
        killed.send(signal.SIGKILL if claimed else signal.SIGCONT)
        if not claimed:
            time.sleep(0.02)  # it has to run to claim something
    seconds = queue.wait_for_the_end(_STILL_OPEN, claimed, seconds=lease_seconds + _MOST_SECONDS)
    queue.wait_for_the_end(_OPEN, seconds=_MOST_SECONDS)
    return {"claimed": len(claimed), "seconds": seconds}


def verdicts(found: dict[str, Any]) -> list[Verdict]:
    """Return whether the work of the killed crawler was done soon enough."""
    recovery = found["recovery"]
    most = recovery["lease_seconds"] + _BESIDE_LEASE_SECONDS
    return [
        Verdict(
            f"after kill -9 of one of {recovery['crawlers']} crawlers, its work is done within {most:g} s",
            f"{recovery['claimed']} pages in {recovery['seconds']:.1f} s",
            recovery["seconds"] <= most,
        )
    ]
