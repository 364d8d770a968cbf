"""How the tests of this folder open their stores: work in threads is done at once unless a test says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from sqlalchemy.engine import URL
from twisted.internet.defer import Deferred, execute
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.settings import StoreTable
from lbcompanion.stores.encryption import EncryptedStore
from lbcompanion.stores.engines import sqlite
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.stores.sql import SqlStore

T = TypeVar("T")

KEY = b"sixteen or more random bytes"


def at_once(work: Callable[[], T], /) -> Deferred[T]:
    return execute(work)


def result_of(deferred: Deferred[T]) -> T:
    """The result of a Deferred that has fired; raises its failure."""
    results: list[T | Failure] = []
    deferred.addBoth(results.append)
    assert results, "not fired"
    found = results[0]
    if isinstance(found, Failure):
        found.raiseException()
    return found  # type: ignore[return-value]


def a_folder(case: SynchronousTestCase) -> Path:
    folder = TemporaryDirectory()
    case.addCleanup(folder.cleanup)
    return Path(folder.name)


def sqlite_at(
    path: Path, settings: StoreTable, clock: Callable[[], float], defer_to_thread: object = at_once
) -> SqlStore:
    database = sqlite(URL.create("sqlite", database=str(path)), busy_seconds=0.05)
    store = SqlStore(database, settings, clock, defer_to_thread)  # type: ignore[arg-type]
    store.backend.backoff_seconds = 0
    return store


def open_memory(case: SynchronousTestCase, settings: StoreTable, clock: Callable[[], float]) -> MemoryStore:
    return MemoryStore(settings, clock)


def open_sqlite(case: SynchronousTestCase, settings: StoreTable, clock: Callable[[], float]) -> SqlStore:
    return sqlite_at(a_folder(case) / "pages.db", settings, clock)


def open_sealed(case: SynchronousTestCase, settings: StoreTable, clock: Callable[[], float]) -> EncryptedStore:
    return EncryptedStore(MemoryStore(settings, clock), KEY)
