"""Measures the search over a million recordings: ``python -m bench.search sqlite:////tmp/q.db``.

The database is filled first, unless it has as many recordings already. For PostgreSQL: ``postgresql://...``. Printed
are the median and the longest time of each query, in milliseconds, and how many pages a whole search took.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, insert, select

from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.filter_texts import read_filters
from lbcompanion.crawler.queue.schema import RECORDINGS
from lbcompanion.crawler.queue.search import Position, Search
from lbcompanion.crawler.queue.url_keys import url_key

BEGIN = 1_790_000_000.0  # 2026-09-21
_BATCH = 2000
_ATTEMPTS = '[["recorded", "n1", "archived", 12.5, ""]]'
_REQUISITES = '{"wanted": 12, "archived": 11, "missing": [{"url": "https://cdn.example.net/a.js", "reason": "x"}]}'
#: The searches. ``rare`` values are in one of some thousand recordings or fewer; ``none`` in no recording.
QUERIES: dict[str, dict[str, str]] = {
    "no filter": {},
    "url, exact": {"url": "https://www.example.com/"},
    "url, exact, rare": {"url": "https://www.example.com/product/77"},
    "url, begins": {"url": "https://www.example.com/product/*"},
    "url, begins, rare": {"url": "https://www.example.com/product/777*"},
    "url, contains": {"url": "*cart*"},
    "url, contains, none": {"url": "*nowhere*"},
    "from, to": {"from": "2026-09-23", "to": "2026-09-24"},
    "node": {"node": "n2"},
    "node, none": {"node": "n99"},
    "route": {"route": "own"},
    "route, rare": {"route": "any"},
    "outcome": {"outcome": "archived"},
    "outcome, lost": {"outcome": "lost"},
    "outcome, open": {"outcome": "open"},
    "reason": {"reason": "expired"},
    "reason, contains, none": {"reason": "*nothing*"},
    "status": {"status": "200"},
    "status, rare": {"status": "503"},
    "method": {"method": "POST"},
    "visitor": {"visitor": "v1000777"},
    "title": {"title": "CART"},
    "title, none": {"title": "nowhere"},
    "site": {"site": "main"},
    "node and status": {"node": "n2", "status": "404"},
    "node and visitor": {"node": "n2", "visitor": "v1000777"},
    "node and url, contains": {"node": "n2", "url": "*cart*"},
    "visitor and time": {"visitor": "v1000777", "from": "2026-09-23"},
    "method and status, none": {"method": "POST", "status": "503"},
    "node and route, none": {"node": "n3", "route": "computed"},
    "outcome and title": {"outcome": "lost", "title": "cart"},
    "site and outcome": {"site": "main", "outcome": "lost"},
}


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Recordings of a shop, in the order of their arrival."""
    chance = random.Random(1)
    paths = ["/", "/cart", "/checkout", *(f"/product/{number}" for number in range(5000))]
    weights = [800, 300, 100, *(1 for _ in range(5000))]
    for number, path in enumerate(chance.choices(paths, weights, k=count), 1):
        outcome = chance.choices(("archived", "lost"), (99, 1))[0] if number < count - 200 else None
        node = chance.choice(("n1", "n2", "n3"))
        routes = ("recorded", "own") if node == "n3" else ("recorded", "own", "computed")
        url = f"https://www.example.com{path}"
        title = f"{path.strip('/') or 'Home'} - Shop" if outcome == "archived" else None
        viewed_at = BEGIN + number + chance.random() * 30
        yield {
            **dict.fromkeys(("viewed_at", "noticed_at", "received_at", "next_at"), viewed_at),
            **{"id": number, "token": f"token{number:020}", "site": "main" if number % 10 else "other"},
            **{"origin_node": node, "answered_by": node, "cookies": "{}", "told_by": "browser", "rounds": 1},
            **{"url": url, "page_url": url, "url_key": url_key(url), "attempts": _ATTEMPTS, "outcome": outcome},
            **{"reason": "expired" if outcome == "lost" else "", "sha256": f"{chance.getrandbits(256):064x}"},
            "route": "any" if number % 5000 == 0 else chance.choice(routes) if outcome == "archived" else "",
            **{"bytes": 20_000, "content_type": "text/html; charset=utf-8", "captured_at": viewed_at},
            **{"finished_at": viewed_at + 1, "warc_file": f"a-{number // 5000}.warc.gz", "warc_offset": number},
            **{"requisites": _REQUISITES, "visitor": f"v1{chance.randrange(50_000):06}", "title": title},
            **{"title_key": title.casefold() if title else None, "method": "POST" if number % 97 == 0 else "GET"},
            "status": 503 if number % 9973 == 0 else 404 if number % 89 == 0 else 200,
        }


def fill(database: Database, count: int) -> None:
    """Add the recordings that are missing."""
    with database.read() as connection:
        known = connection.execute(select(func.count()).select_from(RECORDINGS)).scalar_one()
    if known >= count:
        return
    batch: list[dict[str, Any]] = []
    for row in rows(count):
        batch.append(row)
        if len(batch) == _BATCH or row["id"] == count:
            with database.change() as connection:
                connection.execute(insert(RECORDINGS), batch)
            batch = []


def measure(search: Search, texts: dict[str, str], repetitions: int) -> tuple[list[float], int, int]:
    """Return the times of the pages of one search, how many pages there were, and how many recordings were found."""
    times: list[float] = []
    pages = found = 0
    filters = read_filters(texts)
    for repetition in range(repetitions):
        after: Position | None = None
        for _ in range(3 if repetition else 60):
            started = time.perf_counter()
            page = search.page(filters, 100, after=after)
            times.append((time.perf_counter() - started) * 1000)
            if not repetition:
                pages, found = pages + 1, found + len(page.rows)
            after = page.next
            if after is None or (page.searched_to is None and pages >= 3 and not repetition):
                break
    return times, pages, found


def main() -> None:
    """Fill the database, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="the queue's URL; it is filled and kept")
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    database = Database(open_engine(given.url))
    database.open()
    started = time.perf_counter()
    fill(database, given.count)
    print(f"filled: {time.perf_counter() - started:.0f} s")
    search = Search(database)
    print(f"{'query':28} {'median':>8} {'longest':>8}   pages  found")
    for name, texts in QUERIES.items():
        times, pages, found = measure(search, texts, given.repetitions)
        print(f"{name:28} {statistics.median(times):8.1f} {max(times):8.1f} {pages:7} {found:6}", flush=True)
    started = time.perf_counter()
    Backlog(database).counts()
    print(f"{'counts':28} {(time.perf_counter() - started) * 1000:8.1f}")
    database.close()


if __name__ == "__main__":
    main()
