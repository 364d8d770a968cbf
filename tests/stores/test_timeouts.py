from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lbcompanion.errors import StoreError, StoreUnreachable
from lbcompanion.settings import StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.stores.timeouts import TimeoutStore, with_timeout
from lbcompanion.testing.stores import FailingStore, ManualWallClock, SlowStore, make_page, page_store_contract

TestTimelyStore = page_store_contract(
    "TestTimelyStore", lambda case, settings, clock: TimeoutStore(MemoryStore(settings, clock), Clock())
)


def open_slow(case: TestCase, settings: StoreTable, clock: ManualWallClock) -> TimeoutStore:
    from twisted.internet import reactor

    return TimeoutStore(SlowStore(MemoryStore(settings, clock), reactor, 0), reactor, 30)


TestTimelySlowStore = page_store_contract("TestTimelySlowStore", open_slow)


class TestLateness(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inside = MemoryStore(StoreTable(), ManualWallClock())
        self.store = TimeoutStore(SlowStore(self.inside, self.clock, 7), self.clock, 5)

    def test_the_caller_gets_an_error_in_time(self) -> None:
        asked = self.store.peek("a")
        self.clock.advance(4.9)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        said = self.failureResultOf(asked, StoreUnreachable).value
        assert str(said) == "the store does not answer within 5 s"
        self.clock.advance(10)
        assert self.clock.getDelayedCalls() == []

    def test_what_was_asked_is_done_all_the_same(self) -> None:
        putting = self.store.put(make_page("a"))
        self.clock.advance(5)
        self.failureResultOf(putting, StoreError)
        self.clock.advance(5)
        assert self.successResultOf(self.inside.peek("a")) == make_page("a")

    def test_a_failure_in_time_is_passed_on_unchanged(self) -> None:
        store = TimeoutStore(SlowStore(FailingStore(self.inside), self.clock, 1), self.clock, 5)
        asked = store.peek("a")
        self.clock.advance(1)
        assert str(self.failureResultOf(asked, StoreError).value) == "down on purpose"
        assert self.clock.getDelayedCalls() == []

    def test_what_is_there_at_once_costs_no_timer(self) -> None:
        store = TimeoutStore(self.inside, self.clock, 5)
        self.successResultOf(store.put(make_page("a")))
        assert self.clock.getDelayedCalls() == []

    def test_who_answers_at_once_needs_none(self) -> None:
        assert with_timeout(self.inside, self.clock) is self.inside
        assert isinstance(with_timeout(FailingStore(self.inside), self.clock), TimeoutStore)
