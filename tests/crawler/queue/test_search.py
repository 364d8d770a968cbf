from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.filters import Filters, Pattern
from lbcompanion.crawler.queue.search import FoundPage, Position, Search
from tests.support.recording_rows import Row, Steps, add, opened, row_of

CHOICES: dict[str, tuple[Any, ...]] = {
    "site": ("main", "other"),
    "origin_node": ("n1", "n2", "n3"),
    "route": ("", "own", "recorded"),
    "outcome": (None, "archived", "lost"),
    "status": (None, 200, 404),
    "method": (None, "GET", "POST"),
    "visitor": (None, "v1ann", "v1bob"),
    "title": (None, "Your CART", "Größe 50 % off", "ÄPFEL"),
    "erasure": (None, None, None, None, 7),
    "viewed_at": (1.0, 2.0, 2.5, 3.25, 1e9 + 1 / 3),
    "address": (
        *("https://shop/", "https://shop/cart", "https://shop/cart#top", "https://shop/cart/2", "https://shop/Cart"),
        *("https://shop/100%_a", f"https://shop/{'x' * 300}", f"https://shop/{'x' * 300}y#z", "https://shop/größe"),
    ),
}
FILTERS: dict[str, tuple[Any, ...]] = {
    "url": tuple(
        Pattern.read(text)
        for text in (
            *("https://shop/cart", "https://shop/cart*", "*cart*", "https://shop/*", "*", "https://shop/cart#t*"),
            *(f"https://shop/{'x' * 300}", f"https://shop/{'x' * 300}*", "*%_*", "https://shop/100%*", "*nowhere*"),
            *("https://shop/gr*", "https://shop/größe"),
        )
    ),
    "start": (2.0, 2.1, 5.0),
    "end": (2.5, 1.0, 2e9),
    "node": ("n1", "n4"),
    "route": ("own",),
    "outcome": ("archived", "lost", "open"),
    "reason": tuple(Pattern.read(text) for text in ("expired", "exp*", "*ire*", "*")),
    "status": (200, 500),
    "method": ("POST",),
    "visitors": (("v1ann",), ("v1ann", "v1bob"), ()),
    "visitor_begins": ("v1", "v1b", "V1A", "v_"),
    "title": ("cart", "GRÖßE", "äpfel", "%"),
    "site": ("other",),
    "tokens": (("t1", "t2", "t3"),),
}


def rows_of(chance: random.Random, count: int, first: int = 1) -> list[Row]:
    return [
        row_of(number, {name: chance.choice(values) for name, values in CHOICES.items()})
        for number in range(first, first + count)
    ]


def fits(pattern: Pattern, text: str) -> bool:
    if pattern.contains:
        return pattern.text in text
    return text.startswith(pattern.text) if pattern.begins else text == pattern.text


def is_wanted(row: Row, filters: Filters) -> bool:
    """The model of the filters."""
    address = row["page_url"] or row["url"]
    url = filters.url
    if url is not None and not (url.begins or url.contains):
        address = address.partition("#")[0]
    checks = (
        row["erasure"] is None,
        url is None or fits(url, address),
        filters.start is None or row["viewed_at"] >= filters.start,
        filters.end is None or row["viewed_at"] < filters.end,
        not filters.outcome or (row["outcome"] or "open") == filters.outcome,
        filters.reason is None
        or (filters.reason.is_everything or (row["outcome"] == "lost" and fits(filters.reason, row["reason"]))),
        filters.visitors is None or row["visitor"] in filters.visitors,
        (row["visitor"] or "").startswith(filters.visitor_begins),
        filters.title.casefold() in (row["title"] or "").casefold(),
        not filters.tokens or row["token"] in filters.tokens,
        filters.status is None or row["status"] == filters.status,
        *(not getattr(filters, name) or row[name] == getattr(filters, name) for name in ("route", "method", "site")),
        not filters.node or row["origin_node"] == filters.node,
    )
    return all(checks)


def forward(search: Search, filters: Filters, limit: int) -> list[str]:
    """All tokens, from page to page."""
    found, after = list[str](), None
    for _ in range(500):
        page = search.page(filters, limit, after=after)
        found += [row["token"] for row in page.rows]
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages do not end")


def backward(search: Search, filters: Filters, limit: int) -> list[str]:
    found, before = list[str](), Position(-1e9, 0)
    for _ in range(500):
        page = search.page(filters, limit, before=before)
        found = [row["token"] for row in page.rows] + found
        if page.previous is None:
            return found
        before = page.previous
    raise AssertionError("the pages do not end")


def check_model(database: Database, examples: int, chance: random.Random) -> None:
    rows = rows_of(chance, 40)
    add(database, rows)
    ordered = sorted(rows, key=lambda row: (row["viewed_at"], row["id"]), reverse=True)
    for _ in range(examples):
        names = chance.sample(sorted(FILTERS), chance.choice((0, 1, 1, 2, 3)))
        filters = Filters(**{name: chance.choice(FILTERS[name]) for name in names})
        expected = [row["token"] for row in ordered if is_wanted(row, filters)]
        # The second one finds no filter rare, and stops after each piece of a few recordings.
        search = chance.choice((Search(database), Search(database, Steps(), 0.0)))
        assert forward(search, filters, chance.choice((1, 3, 100))) == expected, filters
        assert backward(search, filters, chance.choice((1, 3, 100))) == expected, filters


@pytest.fixture
def many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbcompanion.crawler.queue.search._FEW", 6)
    monkeypatch.setattr("lbcompanion.crawler.queue.search._FIRST_PIECE", 4)
    monkeypatch.setattr("lbcompanion.crawler.queue.search._MAX_PIECE", 9)


@pytest.mark.slow
@pytest.mark.usefixtures("many_pieces")
def test_search_does_what_a_list_would() -> None:
    for seed in range(4):
        database = opened()
        check_model(database, 40, random.Random(seed))
        database.close()


@pytest.mark.slow
@pytest.mark.programs
@pytest.mark.network
@pytest.mark.usefixtures("many_pieces")
@pytest.mark.parametrize("kind", ["Postgresql", "Mariadb"])
def test_search_at_a_server(kind: str) -> None:
    from tests.support import store_servers

    with store_servers.of_its_own(getattr(store_servers, kind)) as server:
        database = opened(server.url)
        check_model(database, 80, random.Random(1))
        database.close()


@pytest.fixture
def database() -> Iterator[Database]:
    made = opened()
    yield made
    made.close()


def tokens(page: FoundPage) -> list[str]:
    return [row["token"] for row in page.rows]


def test_pages_in_both_directions_while_recordings_arrive(database: Database) -> None:
    add(database, [row_of(number, {"viewed_at": float(number)}) for number in range(1, 8)])
    search = Search(database)
    first = search.page(Filters(), 3)
    assert (tokens(first), first.previous) == (["t7", "t6", "t5"], None)
    add(database, [row_of(number, {"viewed_at": float(number)}) for number in (8, 9)])
    second = search.page(Filters(), 3, after=first.next)
    assert tokens(second) == ["t4", "t3", "t2"]
    back = search.page(Filters(), 3, before=second.previous)
    assert tokens(back) == ["t7", "t6", "t5"]
    newest = search.page(Filters(), 3, before=back.previous)
    assert (tokens(newest), newest.previous) == (["t9", "t8"], None)
    assert tokens(search.page(Filters(), 3, after=newest.next)) == ["t7", "t6", "t5"]
    between = search.page(Filters(), 9, after=first.next, before=second.next)
    assert tokens(between) == ["t4", "t3"]
    last = search.page(Filters(), 3, after=second.next)
    assert (tokens(last), last.next) == (["t1"], None)


@pytest.mark.usefixtures("many_pieces")
def test_a_long_search_says_how_far_it_came(database: Database) -> None:
    add(database, [row_of(number, {"viewed_at": float(number)}) for number in range(1, 31)])
    found = Search(database, Steps(), 0.0).page(Filters(title="nothing"), 5)
    assert (found.rows, found.searched_to) == ((), 27.0)
    assert found.next is not None
    # There is time for all of it.
    whole = Search(database, lambda: 0.0).page(Filters(title="nothing"), 5)
    assert (whole.rows, whole.next, whole.searched_to) == ((), None, None)


@pytest.mark.usefixtures("many_pieces")
def test_a_search_reads_a_bounded_number_of_recordings(database: Database) -> None:
    """Of twice as many recordings, one page reads as many."""
    reads = []
    for first in (1, 101):
        add(database, [row_of(number, {"viewed_at": 1.0}) for number in range(first, first + 100)])
        clock = Steps()
        Search(database, clock, 8.0).page(Filters(title="nothing"), 5)
        reads.append(clock.now)
    assert reads[0] == reads[1]


@pytest.mark.parametrize(
    "text",
    ["", "x", "0" * 31, "0" * 33, "7ff0" + "0" * 28, "fff8" + "0" * 28, "0" * 16 + "f" * 16, "A" * 32, "\u0660" * 32],
)
def test_not_a_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        Position.read(text)


def test_a_cursor_is_exact() -> None:
    for position in (Position(1 / 3, 1), Position(1e200, (1 << 63) - 1), Position(-0.0, 0), Position(1.7e9 + 0.1, 5)):
        assert Position.read(position.cursor) == position


def test_the_index_of_a_filter_is_used(database: Database) -> None:
    """Whatever its values are, SQLite has no statistics."""
    statements = list[tuple[str, Any]]()

    def note(_connection: Any, _cursor: Any, statement: str, values: Any, *_: object) -> None:
        statements.append((statement, values))

    add(database, rows_of(random.Random(3), 50))
    event.listen(database._engine, "before_cursor_execute", note)
    for name, filters in (
        ("time", Filters()),
        ("node", Filters(node="n1")),
        ("visitor", Filters(visitors=("v1ann",), start=1.0)),
        ("status", Filters(status=404)),
        ("outcome", Filters(outcome="open")),
        ("url_key", Filters(url=Pattern.read("https://shop/cart"), end=3.0)),
    ):
        statements.clear()
        Search(database).page(filters, 5, after=Position(2.5, 9))
        (statement, values) = statements[0]
        with database.read() as connection:
            plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all())
        assert f"recordings_by_{name} " in plan, plan
        assert "TEMP B-TREE" not in plan, plan
