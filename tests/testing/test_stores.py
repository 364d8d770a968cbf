from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.reflect import namedAny
from twisted.trial.reporter import TestResult
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from lbcompanion.errors import StoreError
from lbcompanion.model import Page
from lbcompanion.settings import StoreTable
from lbcompanion.stores.interface import IPageStore
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing import stores
from lbcompanion.testing.stores import FailingStore, ManualWallClock, SlowStore, make_page


def opened() -> MemoryStore:
    return MemoryStore(StoreTable(), ManualWallClock())


def working(case: TestCase, settings: StoreTable, clock: object) -> FailingStore:
    store = FailingStore(MemoryStore(settings, clock))  # type: ignore[arg-type]
    store.failing = False
    return store


TestFailingStoreThatWorks = stores.page_store_contract("TestFailingStoreThatWorks", working)


class Forgetful(MemoryStore):
    """A store that breaks the contract in one point."""

    def drop(self, token: str) -> Deferred[bool]:
        super().drop(token)
        return super().drop("")


class TestContract(SynchronousTestCase):
    def test_it_finds_a_store_that_breaks_it(self) -> None:
        suite = stores.page_store_contract("Suite", lambda case, settings, clock: Forgetful(settings, clock))
        results = {}
        for name in ("test_a_drop_pulls_at_once", "test_the_oldest_makes_room"):
            result = TestResult()
            suite(name).run(result)
            results[name] = result.wasSuccessful()
        assert results == {"test_a_drop_pulls_at_once": False, "test_the_oldest_makes_room": True}

    def test_it_can_be_found_by_name(self) -> None:
        assert namedAny("lbcompanion.testing.stores.page_store_contract") is stores.page_store_contract


class TestDoubles(SynchronousTestCase):
    def test_they_are_stores(self) -> None:
        verifyObject(IPageStore, FailingStore(opened()))
        verifyObject(IPageStore, SlowStore(opened(), Clock(), 1))

    def test_a_failing_store_fails_until_it_is_repaired(self) -> None:
        store = FailingStore(opened())
        self.failureResultOf(store.put(make_page("a")), StoreError)
        self.failureResultOf(store.stats(), StoreError)
        store.failing = False
        self.successResultOf(store.put(make_page("a")))
        assert isinstance(self.successResultOf(store.peek("a")), Page)
        store.failing = True
        self.failureResultOf(store.take("a"), StoreError)
        self.successResultOf(store.close())

    def test_a_slow_store_answers_late(self) -> None:
        clock = Clock()
        store = SlowStore(FailingStore(opened()), clock, 5)
        failed = store.put(make_page("a"))
        clock.advance(4)
        self.assertNoResult(failed)
        clock.advance(1)
        self.failureResultOf(failed, StoreError)
        store = SlowStore(opened(), clock, 5)
        kept = store.put(make_page("a"))
        self.assertNoResult(kept)
        clock.advance(5)
        self.successResultOf(kept)
        self.successResultOf(store.close())
