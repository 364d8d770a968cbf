"""Several nodes at one store, each with a connection and a thread of its own: what one does, all see, once."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, TypeVar

import pytest
from attrs import evolve
from sqlalchemy import text

from lbcompanion.errors import StoreError
from lbcompanion.model import Miss, MissReason, Page
from lbcompanion.settings import StoreTable
from lbcompanion.stores.registry import open_store
from lbcompanion.stores.sql import SqlStore
from lbcompanion.testing.stores import ManualWallClock, make_page
from tests.support.open_store import at_once, result_of
from tests.support.store_servers import ROWS_USER, USER, Mariadb, Postgresql, Redis, Server, running

pytestmark = pytest.mark.programs

T = TypeVar("T")

KINDS: Sequence[type[Server] | None] = (None, Redis, Postgresql, Mariadb)


class Nodes:
    """Opens stores for one node after the other, and has them work at once."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.clock = ManualWallClock()
        self._opened: list[Any] = []

    def opened(self, number: int, **settings: Any) -> list[Any]:
        table = StoreTable(**{"max_pages": 1000, **settings})
        made = [open_store(evolve(table, url=self.url), self.clock, at_once) for _ in range(number)]
        self._opened += made
        return made

    def close(self) -> None:
        for store in self._opened:
            result_of(store.close())


def all_at_once(*works: Callable[[], T]) -> list[T]:
    """Do these in threads that begin together; the first exception is raised."""
    start = Barrier(len(works))

    def begin(work: Callable[[], T]) -> T:
        start.wait(60)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(begin, works))


def _name_of(kind: type[Server] | None) -> str:
    return kind.program if kind else "sqlite"


@pytest.fixture(params=KINDS, ids=_name_of)
def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Nodes]:
    found = Nodes(f"sqlite:///{tmp_path}/pages.db" if request.param is None else running(request.param).url)
    yield found
    found.close()


def test_any_node_has_what_one_put(nodes: Nodes) -> None:
    one, other = nodes.opened(2)
    result_of(one.put(make_page("a")))
    assert result_of(other.take("a")) == make_page("a")
    result_of(other.sent("a"))
    nodes.clock.advance(40)
    result_of(one.sent("a"))
    nodes.clock.advance(20)
    assert result_of(one.peek("a")) == Miss(MissReason.PULLED)
    result_of(other.mark("b", Miss(MissReason.UNKNOWN, "grew too large")))
    assert result_of(one.peek("b")) == Miss(MissReason.UNKNOWN, "grew too large")
    assert result_of(other.stats())["pages"] == 0


def test_all_start_at_once(nodes: Nodes) -> None:
    stores = nodes.opened(4)
    all_at_once(
        *(lambda store=store, at=at: result_of(store.put(make_page(f"t{at}"))) for at, store in enumerate(stores))
    )
    assert sorted(result_of(stores[0].tokens())) == ["t0", "t1", "t2", "t3"]


@pytest.mark.parametrize("nodes", [kind for kind in KINDS if kind is not Redis], ids=_name_of, indirect=True)
def test_all_migrate_an_earlier_database_at_once(nodes: Nodes) -> None:
    """Its bodies have no heads; nodes of the earlier version go on using it."""
    (first,) = nodes.opened(1)
    old, new = make_page("old"), evolve(make_page("new"), head=b"HTTP/1.1 200 OK\r\nX: \xfc\r\n\r\n")
    assert isinstance(first, SqlStore)
    result_of(first.put(old))
    for _ in range(3):
        with first.backend._database.engine.begin() as connection:  # type: ignore[attr-defined]
            connection.execute(text("ALTER TABLE lbc_bodies DROP COLUMN head"))
            connection.execute(text("DELETE FROM lbc_schema_steps"))
        result_of(first.close())
        stores = nodes.opened(4)
        found = all_at_once(*(lambda store=store: result_of(store.peek("old")) for store in stores))
        assert found == [old] * 4
        result_of(stores[0].put(new))
        assert result_of(stores[1].take("new")) == new
        first = stores[0]
        for store in stores[1:]:
            result_of(store.close())


@pytest.mark.parametrize("kind", [Postgresql, Mariadb])
def test_a_node_that_may_not_change_tables_works_without_heads(kind: type[Postgresql | Mariadb]) -> None:
    """Their owner has made the tables for the earlier version, and adds the column when it likes."""
    server = running(kind)
    owner = Nodes(server.url)
    (first,) = owner.opened(1)
    old, new = make_page("old"), evolve(make_page("new"), head=b"HTTP/1.1 200 OK\r\n\r\n")
    result_of(first.put(old))
    with first.backend._database.engine.begin() as connection:
        connection.execute(text("ALTER TABLE lbc_bodies DROP COLUMN head"))
        connection.execute(text("DELETE FROM lbc_schema_steps"))
    owner.close()
    server.allow_rows()
    nodes = Nodes(server.url.replace(f"//{USER}:", f"//{ROWS_USER}:"))
    (store,) = nodes.opened(1)
    assert result_of(store.peek("old")) == old
    result_of(store.put(new))
    assert result_of(store.take("new")) == make_page("new")
    nodes.close()
    (first,) = owner.opened(1)
    assert result_of(first.peek("new")) == make_page("new")
    owner.close()
    (store,) = nodes.opened(1)
    result_of(store.put(new))
    assert result_of(store.take("new")) == new
    nodes.close()


def test_each_copy_expires_once(nodes: Nodes) -> None:
    stores = nodes.opened(3)
    for _ in range(5):
        for number in range(30):
            result_of(stores[number % 3].put(make_page(f"t{number}")))
        nodes.clock.advance(600)
        gone = sum(all_at_once(*(lambda store=store: result_of(store.sweep()) for store in stores)))
        # A row that one only looked at in passing may be passed over by another; it goes at the next sweep.
        assert gone + result_of(stores[0].sweep()) == 30
    assert sum(result_of(store.stats())["expired"] for store in stores) == 150
    assert result_of(stores[0].peek("t7")) == Miss(MissReason.EXPIRED)


def test_each_copy_is_pulled_once_by_any_node(nodes: Nodes) -> None:
    stores = nodes.opened(3)
    chance = random.Random(7)
    tokens = [f"t{number}" for number in range(40)]
    for token in tokens:
        result_of(stores[0].put(make_page(token)))

    def pull(store: Any, order: Sequence[str]) -> set[bool]:
        told = set()
        for token in order:
            found = result_of(store.take(token))
            assert found in (make_page(token), Miss(MissReason.PULLED))
            result_of(store.sent(token))
            told.add(result_of(store.drop(token)))
            assert result_of(store.take(token)) == Miss(MissReason.PULLED)
        return told

    orders = [chance.sample(tokens, len(tokens)) for _ in stores]
    told = all_at_once(*(lambda one=one: pull(*one) for one in zip(stores, orders, strict=True)))
    assert told == [{True}] * 3
    assert sum(result_of(store.stats())["pulled"] for store in stores) == 40
    assert result_of(stores[1].stats())["pages"] == 0


def test_limits_are_those_of_all_together(nodes: Nodes) -> None:
    stores = nodes.opened(3, max_pages=20)

    def fill(number: int, store: Any) -> None:
        for page in range(30):
            result_of(store.put(make_page(f"n{number}-{page}")))

    all_at_once(*(lambda one=one: fill(*one) for one in enumerate(stores)))
    # What was under way in another transaction is counted from the next put on.
    nodes.clock.advance(1)
    result_of(stores[0].put(make_page("last")))
    told = [result_of(store.stats()) for store in stores]
    assert told[0]["pages"] == 20
    assert sum(one["put"] for one in told) == 91
    assert sum(one["evicted"] for one in told) == 71
    assert isinstance(result_of(stores[2].peek("last")), Page)


def test_the_same_page_twice_at_once_is_one(nodes: Nodes) -> None:
    stores = nodes.opened(3)
    for number in range(10):
        token = f"t{number}"
        all_at_once(*(lambda store=store, token=token: result_of(store.put(make_page(token))) for store in stores))
        assert result_of(stores[0].peek(token)) == make_page(token)
    assert result_of(stores[0].stats())["pages"] == 10


def test_one_bad_page_spoils_no_other(nodes: Nodes) -> None:
    (store,) = nodes.opened(1)
    result_of(store.put(make_page("a")))
    with pytest.raises(StoreError) as caught:
        result_of(store.put(evolve(make_page("b"), url="https://x/\udc80secret")))
    assert "secret" not in str(caught.value)
    assert result_of(store.peek("a")) == make_page("a")
    assert result_of(store.peek("b")) == Miss(MissReason.UNKNOWN)


def test_the_largest_page_and_the_longest_address(nodes: Nodes) -> None:
    one, other = nodes.opened(2)
    largest = evolve(make_page("a", bytes(range(256)) * 16384), url="https://www.example.com/" + "\u00e9" * 65536)
    assert len(largest.body) == StoreTable.__attrs_attrs__.max_bytes.default / 64
    result_of(one.put(largest))
    assert result_of(other.take("a")) == largest


def test_tokens_differ_in_case_only(nodes: Nodes) -> None:
    (store,) = nodes.opened(1)
    for token in ("abc", "ABC", "aBc"):
        result_of(store.put(make_page(token, token.encode())))
    assert result_of(store.peek("aBc")) == make_page("aBc", b"aBc")
    assert result_of(store.drop("ABC")) is True
    assert sorted(result_of(store.tokens())) == ["aBc", "abc"]
