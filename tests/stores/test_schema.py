"""Tables of copies."""

from __future__ import annotations

import pytest

from lbcompanion.errors import StoreError
from lbcompanion.model import Page
from lbcompanion.testing.stores import make_page
from tests.support.sqlite_case import SqliteCase


class TestTrouble(SqliteCase):
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
