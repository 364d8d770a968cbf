"""A store in a file of its own."""

from __future__ import annotations

import sqlite3
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.settings import StoreTable
from lbcompanion.stores.sql import SqlStore
from lbcompanion.testing.stores import ManualWallClock
from tests.support.open_store import a_folder, at_once, sqlite_at


class SqliteCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = ManualWallClock()
        self.path = a_folder(self) / "pages.db"

    def opened(self, defer_to_thread: object = at_once, **settings: Any) -> SqlStore:
        store = sqlite_at(self.path, StoreTable(**settings), self.clock, defer_to_thread)
        self.addCleanup(store.close)
        return store

    def other(self) -> sqlite3.Connection:
        """Another process at the same file."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(connection.close)
        return connection
