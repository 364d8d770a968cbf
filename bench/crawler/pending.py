"""A crawler that starts with many pending notices: when it begins the first one, and how much memory it takes."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.crawler.calls import CallCounter, build
from bench.crawler.farm import Farm
from bench.peers.interface import PeerFailed
from bench.system_info import resident_megabytes
from bench.targets import Verdict
from bench.workload import HOST
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.protocol.tokens import Tokens

_MOST_SECONDS = 60.0
_CRAWL_SECONDS = 10.0
_ROW = (
    "INSERT INTO recordings (token, site, origin_node, url, page_url, cookies, told_by, viewed_at, noticed_at,"
    " received_at, next_at, rounds, attempts, reason, answered_by, route, sha256, content_type, warc_file)"
    " VALUES (?, 'main', ?, ?, ?, '{\"SRV\": \"n1\"}', 'browser', ?, ?, ?, ?, 0, '[]', '', '', '', '', '', '')"
)


def measure(folder: Path, notices: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Start a crawler with this many pending notices, whose copies no node has.

    :returns: seconds from the open intake to the first fetch; megabytes then, and after ten seconds of crawling.
    :raises PeerFailed: if it begins none.
    """
    library = build(folder)
    with Farm(folder / "farm") as farm:
        counter = CallCounter(library, folder / "calls")
        crawler = farm.crawler("crawler", counter.environment, prepare=lambda at: _fill(at, farm, notices, say))
        begun = time.monotonic()
        while not counter.read().connections:
            if time.monotonic() - begun > _MOST_SECONDS:
                raise PeerFailed("the crawler begins no notice")
            time.sleep(0.01)
        seconds, before = time.monotonic() - begun, resident_megabytes(crawler.pids)
        time.sleep(_CRAWL_SECONDS)
        after = resident_megabytes(crawler.pids)
    return {"notices": notices, "first_seconds": seconds, "megabytes": before, "megabytes_later": after}


def _fill(folder: Path, farm: Farm, notices: int, say: Callable[[str], None]) -> None:
    database = Database(open_engine(f"sqlite:///{folder}/crawler.db"))
    database.open()
    database.close()
    say(f"{notices} notices are written")
    connection = sqlite3.connect(folder / "crawler.db")
    with connection:
        connection.executemany(_ROW, _rows(farm, notices))
    connection.close()


def _rows(farm: Farm, notices: int) -> Iterator[tuple[Any, ...]]:
    minting = [Tokens(farm.secret.encode(), node, random.randbytes) for node in ("n1", "n2")]
    now = time.time() - 100
    for number in range(notices):
        node = number % 2
        url = f"http://{HOST}/page?n={number}"
        yield (minting[node].mint(), f"n{node + 1}", url, url, now, now, now, now)


def verdicts(found: dict[str, Any]) -> list[Verdict]:
    """Return whether the figures are reached."""
    most = max(found["megabytes"], found["megabytes_later"])
    words = f"with {found['notices']} pending notices"
    return [
        Verdict(f"{words}, the first begun within 1 s", f"{found['first_seconds']:.2f} s", found["first_seconds"] <= 1),
        Verdict(f"{words}, memory below 200 MB", f"{most:.0f} MB", most < 200),
    ]
