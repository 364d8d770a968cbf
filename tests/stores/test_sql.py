from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import evolve
from sqlalchemy import event
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.trial.unittest import TestCase

from lbcompanion.errors import StoreError, StoreUnwritable
from lbcompanion.model import Miss, MissReason
from lbcompanion.settings import StoreTable
from lbcompanion.stores.remote import WAITING_BYTES
from lbcompanion.stores.sql import SqlStore
from lbcompanion.stores.threads import SingleThread
from lbcompanion.testing.stores import ManualWallClock, make_page, page_store_contract
from tests.support.open_store import a_folder, open_sqlite, sqlite_at
from tests.support.paused_thread import PausedThread
from tests.support.sqlite_case import SqliteCase
from tests.support.store_machine import run_store_machine

TestSqliteStore = pytest.mark.slow(page_store_contract("TestSqliteStore", open_sqlite))


@pytest.mark.slow
def test_any_order_of_calls() -> None:
    with TemporaryDirectory() as folder:
        files: dict[Callable[[], float], Path] = {}

        def open_store(table: StoreTable, clock: Callable[[], float]) -> SqlStore:
            # Each run has a clock, and so a file, of its own.
            path = files.setdefault(clock, Path(folder) / f"{len(files)}.db")
            return sqlite_at(path, table, clock)

        run_store_machine(open_store, durable=True, examples=20)


class TestFullDisk(SqliteCase):
    """SQLite's own limit of pages gives the same error as a full disk."""

    @pytest.mark.slow
    def test_it_is_there_and_cannot_be_written(self) -> None:
        store = self.opened()
        self.successResultOf(store.put(make_page("a")))
        limit = [1]

        def on_connect(connection: Any, _entry: object) -> None:
            connection.execute(f"PRAGMA max_page_count={limit[0]}").close()

        event.listen(store.backend._database.engine, "connect", on_connect)
        store.backend.backoff_seconds = 0
        store.backend.disconnect()
        self.failureResultOf(store.put(make_page("b", bytes(100_000))), StoreUnwritable)
        assert self.successResultOf(store.sweep()) == 0
        assert self.successResultOf(store.url_of("a")) == make_page("a").url
        limit[0] = 1_000_000
        store.backend.disconnect()
        self.successResultOf(store.put(make_page("b", bytes(100_000))))


class TestDurability(SqliteCase):
    @pytest.mark.slow
    def test_a_restart_loses_nothing(self) -> None:
        store = self.opened()
        for token in "abcd":
            self.successResultOf(store.put(make_page(token)))
        self.successResultOf(store.sent("b"))
        self.successResultOf(store.drop("c"))
        miss = Miss(MissReason.EVICTED, "grew too large")
        self.successResultOf(store.mark("e", miss))
        self.successResultOf(store.close())
        store = self.opened()
        assert self.successResultOf(store.tokens()) == ["a", "b", "d"]
        assert self.successResultOf(store.peek("a")) == make_page("a")
        assert self.successResultOf(store.peek("c")) == Miss(MissReason.PULLED)
        assert self.successResultOf(store.peek("e")) == miss
        self.clock.advance(60)
        assert self.successResultOf(store.peek("b")) == Miss(MissReason.PULLED)

    def test_a_put_is_durable_when_it_fires(self) -> None:
        self.successResultOf(self.opened().put(make_page("a")))
        # The first one was never closed.
        assert self.successResultOf(self.opened().peek("a")) == make_page("a")

    @pytest.mark.slow
    def test_nobody_else_may_read_the_files(self) -> None:
        self.path.touch(mode=0o644)
        self.successResultOf(self.opened().put(make_page("a")))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.path.parent.iterdir()}
        assert set(modes.values()) == {384}
        assert "pages.db-wal" in modes

    @pytest.mark.slow
    def test_a_close_leaves_one_whole_file(self) -> None:
        store = self.opened()
        self.successResultOf(store.put(make_page("a")))
        self.successResultOf(store.close())
        assert [path.name for path in self.path.parent.iterdir()] == ["pages.db"]
        assert self.other().execute("SELECT version FROM lbc_schema").fetchall() == [(1,)]

    @pytest.mark.slow
    def test_lowered_limits_hold_from_the_next_put_on(self) -> None:
        store = self.opened()
        for token in "abcd":
            self.successResultOf(store.put(make_page(token)))
        self.successResultOf(store.close())
        store = self.opened(max_pages=2)
        self.successResultOf(store.put(make_page("e")))
        assert self.successResultOf(store.tokens()) == ["d", "e"]


class TestGrouping(SqliteCase):
    def commits(self, store: SqlStore) -> list[int]:
        """The number of rows of pages seen after each transaction."""
        seen: list[int] = []
        while self.thread.pending:
            self.thread.run_next()
            seen.append(self.other().execute("SELECT count(*) FROM lbc_pages").fetchone()[0])
        return seen

    def setUp(self) -> None:
        super().setUp()
        self.thread = PausedThread()

    @pytest.mark.slow
    def test_puts_that_wait_share_a_transaction(self) -> None:
        store = self.opened(self.thread)
        kept = [store.put(make_page(f"t{number}")) for number in range(50)]
        assert self.commits(store) == [1, 50]
        for one in kept:
            assert self.successResultOf(one) is None

    @pytest.mark.slow
    def test_the_order_of_calls_is_kept(self) -> None:
        store = self.opened(self.thread)
        first = store.put(make_page("z"))
        asked = [store.peek("a"), store.put(make_page("a")), store.peek("a"), store.drop("a"), store.peek("a")]
        twice = [store.put(make_page("b", b"1")), store.put(make_page("b", b"2")), store.peek("b")]
        counted = store.stats()
        assert len(self.commits(store)) == 2
        self.successResultOf(first)
        assert [self.successResultOf(one) for one in asked] == [
            Miss(MissReason.UNKNOWN),
            None,
            make_page("a"),
            True,
            Miss(MissReason.PULLED),
        ]
        assert self.successResultOf(twice[2]) == make_page("b", b"2")
        assert self.successResultOf(counted)["put"] == 4

    @pytest.mark.slow
    def test_one_bad_page_does_not_spoil_the_others(self) -> None:
        store = self.opened(self.thread)
        first = store.put(make_page("a"))
        bad = store.put(evolve(make_page("b"), url="https://x/\udc80secret"))
        good = store.put(make_page("c"))
        self.commits(store)
        self.successResultOf(first)
        assert "secret" not in str(self.failureResultOf(bad, StoreError).value)
        self.successResultOf(good)
        told = store.tokens()
        counted = store.stats()
        self.commits(store)
        assert self.successResultOf(told) == ["a", "c"]
        assert self.successResultOf(counted)["put"] == 2

    @pytest.mark.slow
    def test_too_much_may_not_wait(self) -> None:
        store = self.opened(self.thread)
        page = make_page("a", bytes(WAITING_BYTES // 4))
        waiting = [store.put(page) for _ in range(4)]
        self.failureResultOf(store.put(make_page("b")), StoreError)
        self.commits(store)
        for one in waiting:
            self.successResultOf(one)
        later = store.put(make_page("b"))
        self.commits(store)
        self.successResultOf(later)


class TestTrouble(SqliteCase):
    @pytest.mark.slow
    def test_a_locked_database_fails_and_comes_back(self) -> None:
        store = self.opened()
        self.successResultOf(store.put(make_page("a")))
        other = self.other()
        other.execute("BEGIN IMMEDIATE")
        error = self.failureResultOf(store.put(make_page("b")), StoreError).value
        assert "locked" in str(error)
        self.failureResultOf(store.peek("a"), StoreError)
        other.execute("ROLLBACK")
        self.successResultOf(store.put(make_page("b")))
        assert self.successResultOf(store.tokens()) == ["a", "b"]

    @pytest.mark.slow
    def test_one_that_is_locked_from_the_start_too(self) -> None:
        other = self.other()
        other.execute("BEGIN EXCLUSIVE")
        store = self.opened()
        self.failureResultOf(store.put(make_page("a")), StoreError)
        other.execute("ROLLBACK")
        self.successResultOf(store.put(make_page("a")))

    def test_a_file_that_is_no_database(self) -> None:
        self.path.write_bytes(b"something else entirely\n" * 100)
        store = self.opened()
        for answer in (store.put(make_page("a")), store.peek("a"), store.stats()):
            error = self.failureResultOf(answer, StoreError).value
            assert "not a database" in str(error)
        assert self.path.read_bytes().startswith(b"something else")
        self.path.unlink()
        self.successResultOf(store.put(make_page("a")))

    def test_a_place_where_no_file_can_be(self) -> None:
        self.path.mkdir()
        self.failureResultOf(self.opened().put(make_page("a")), StoreError)
        self.path.rmdir()
        self.path.parent.joinpath("file").touch()
        self.path = self.path.parent / "file" / "pages.db"
        store = self.opened()
        self.failureResultOf(store.put(make_page("a")), StoreError)
        self.successResultOf(store.close())

    def test_a_thread_that_is_gone(self) -> None:
        thread = PausedThread()
        store = self.opened(thread)
        answer = store.put(make_page("a"))
        _, done = thread.pending.pop()
        done.errback(RuntimeError("gone"))
        self.failureResultOf(answer, StoreError)


class TestRealThread(TestCase):
    @pytest.mark.slow
    async def test_many_at_once(self) -> None:
        path = a_folder(self) / "pages.db"
        thread = SingleThread(reactor)
        self.addCleanup(thread.stop)
        store = sqlite_at(path, StoreTable(), ManualWallClock(), thread)
        pages = [make_page(f"t{number}", b"%d" % number) for number in range(300)]
        await gatherResults([store.put(page) for page in pages])
        found = await gatherResults([store.take(page.token) for page in pages])
        assert found == pages
        dropped = await gatherResults([store.drop(page.token) for page in pages])
        assert dropped == [True] * 300
        assert (await store.stats())["pages"] == 0
        await store.close()
