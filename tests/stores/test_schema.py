"""Tables of copies."""

from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.errors import StoreError
from lbcompanion.model import Page
from lbcompanion.testing.stores import make_page
from tests.support.sqlite_case import SqliteCase


class TestTrouble(SqliteCase):
    @pytest.mark.slow
    def test_a_schema_of_another_version(self) -> None:
        store = self.opened()
        self.successResultOf(store.put(make_page("a")))
        self.successResultOf(store.close())
        self.other().execute("UPDATE lbc_schema SET version = 2")
        error = self.failureResultOf(self.opened().peek("a"), StoreError).value
        assert "schema version 2" in str(error)

    @pytest.mark.slow
    def test_tables_that_went_away_come_back(self) -> None:
        store = self.opened()
        self.successResultOf(store.put(make_page("token-a")))
        self.other().execute("DROP TABLE lbc_bodies")
        self.successResultOf(store.put(make_page("token-b")))
        assert isinstance(self.successResultOf(store.peek("token-b")), Page)


#: The table of bodies as the programs before heads were kept created it.
_OLD_BODIES = "CREATE TABLE lbc_bodies (token VARCHAR(64) NOT NULL, body BLOB NOT NULL, PRIMARY KEY (token))"


class TestEarlierVersion(SqliteCase):
    """A database that nodes of the version before heads were kept have made, and go on using."""

    def setUp(self) -> None:
        super().setUp()
        store = self.opened()
        self.successResultOf(store.put(make_page("a")))
        self.successResultOf(store.close())
        database = self.other()
        rows = database.execute("SELECT token, body FROM lbc_bodies").fetchall()
        database.execute("DROP TABLE lbc_bodies")
        database.execute(_OLD_BODIES)
        database.executemany("INSERT INTO lbc_bodies VALUES (?, ?)", rows)
        database.execute("DELETE FROM lbc_schema_steps")

    @pytest.mark.slow
    def test_its_copies_are_read_and_heads_are_kept_from_now_on(self) -> None:
        for _ in range(2):
            store = self.opened()
            assert self.successResultOf(store.peek("a")) == make_page("a")
            page = evolve(make_page("b"), head=b"HTTP/1.1 200 OK\r\n\r\n")
            self.successResultOf(store.put(page))
            assert self.successResultOf(store.take("b")) == page
            self.successResultOf(store.close())
        assert self.other().execute("SELECT step FROM lbc_schema_steps").fetchall() == [(1,)]

    @pytest.mark.slow
    def test_what_it_stores_afterwards_has_no_head(self) -> None:
        store = self.opened()
        self.successResultOf(store.put(make_page("b")))
        self.other().execute("UPDATE lbc_bodies SET head = NULL")
        assert self.successResultOf(store.peek("b")) == make_page("b")
