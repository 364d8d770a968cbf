"""For authors of page stores: the contract that each one keeps, and stores that fail or are slow on purpose.

.. code-block:: python

    TestMyStore = page_store_contract("TestMyStore", lambda case, settings, clock: MyStore(settings, clock))

The result is an ordinary test case of Trial's, run by Trial and by pytest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from lbcompanion.errors import StoreError
from lbcompanion.model import Miss, MissReason, Page
from lbcompanion.protocol.tokens import digest_of
from lbcompanion.settings import StoreTable
from lbcompanion.stores.delegating import DelegatingStore
from lbcompanion.stores.interface import IPageStore

T = TypeVar("T")

#: Opens the store under test: the running case (for ``addCleanup``), settings to go by, epoch seconds. The suite
#: closes what it opened.
OpenForTest = Callable[[TestCase, StoreTable, Callable[[], float]], Any]

#: When the clock of a test starts: some moment in 2026, so that a store that takes it for something else is seen.
START = 1_790_000_000.0


class ManualWallClock:
    """A wall clock, in epoch seconds, that tests advance."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def make_page(token: str, body: bytes = b"<!doctype html><p>seen</p>", captured_at: float = START) -> Page:
    """A page like any other; its address has what a careless store would spoil."""
    return Page(
        token=token,
        url="https://www.example.com/caf\u00e9?q=%C3%A9&r='\"",
        method="POST",
        status=200,
        content_type="text/html; charset=windows-1252",
        captured_at=captured_at,
        body=body,
        sha256=digest_of(body),
    )


def page_store_contract(name: str, open_store: OpenForTest, overhead_bytes: int = 0) -> type[TestCase]:
    """The contract suite for one store.

    :param name: what the test case is called.
    :param open_store: opens it empty.
    :param overhead_bytes: by how much a body, and a head that is not empty, count for more than their bytes (encrypted
        ones do).
    """
    return type(name, (_PageStoreContract,), {"open_store": staticmethod(open_store), "overhead": overhead_bytes})


class _PageStoreContract(TestCase):
    open_store: OpenForTest
    overhead: int

    def setUp(self) -> None:
        self.clock = ManualWallClock()

    def opened(self, **settings: Any) -> Any:
        table = {"max_pages": 10, "max_bytes": 10_000, "max_seconds": 600, "pull_grace_seconds": 60, **settings}
        store = type(self).open_store(self, StoreTable(**table), self.clock)
        self.addCleanup(store.close)
        return store

    async def filled(self, *tokens: str, **settings: Any) -> Any:
        """A store with these pages in it, a second apart."""
        store = self.opened(**settings)
        for token in tokens:
            await store.put(make_page(token))
            self.clock.advance(1)
        return store

    async def assert_miss(self, store: Any, token: str, reason: MissReason) -> None:
        assert await store.peek(token) == Miss(reason)
        assert await store.take(token) == Miss(reason)

    async def assert_stored(self, store: Any, *tokens: str) -> None:
        assert await store.tokens() == list(tokens)
        for token in tokens:
            assert isinstance(await store.peek(token), Page), token

    async def assert_fails(self, deferred: Deferred[Any]) -> None:
        try:
            found = await deferred
        except StoreError:
            return
        self.fail(f"StoreError expected, {type(found).__name__} came")

    async def test_it_implements_the_interface(self) -> None:
        verifyObject(IPageStore, self.opened())

    async def test_a_copy_comes_back_as_it_was(self) -> None:
        store = self.opened(max_bytes=1_000_000)
        for token, body in (("all", bytes(range(256)) * 300), ("none", b""), ("html", b"<p>\xe9</p>\r\n")):
            page = make_page(token, body, START + 0.123456)
            assert await store.put(page) is None
            assert await store.peek(token) == page
            assert await store.take(token) == page

    async def test_a_head_comes_back_as_it_was(self) -> None:
        store = self.opened(max_bytes=1_000_000)
        all_bytes = bytes(byte for byte in range(256) if byte not in {0, 10, 13})
        for token, lines in (("all", b"X: " + all_bytes + b"\r\n\r\nTE\r\n"), ("long", b"x" * 200_000)):
            head = b"HTTP/1.1 200 OK\r\n" + lines
            page = evolve(make_page(token), head=head)
            assert await store.put(page) is None
            assert await store.peek(token) == page
            assert await store.take(token) == page

    async def test_the_bytes_of_a_head_count(self) -> None:
        store = self.opened(max_bytes=3000)
        for token in "abc":
            await store.put(evolve(make_page(token, bytes(600 - self.overhead)), head=bytes(400 - self.overhead)))
        await self.assert_stored(store, "a", "b", "c")
        assert (await store.stats())["bytes"] == 3000
        await store.put(make_page("d", bytes(1000 - self.overhead)))
        await self.assert_stored(store, "b", "c", "d")
        await self.assert_fails(store.put(evolve(make_page("e", bytes(1600)), head=bytes(1401))))
        assert (await store.stats())["bytes"] == 3000

    async def test_to_look_takes_nothing_away(self) -> None:
        store = await self.filled("a")
        for _ in range(3):
            await store.take("a")
        self.clock.advance(500)
        await self.assert_stored(store, "a")

    async def test_nobody_has_heard_of_it(self) -> None:
        store = await self.filled("a")
        await self.assert_miss(store, "b", MissReason.UNKNOWN)
        assert await store.sent("b") is None
        assert await store.drop("b") is False
        await self.assert_miss(store, "b", MissReason.UNKNOWN)

    async def test_it_expires_without_a_sweep(self) -> None:
        store = self.opened()
        await store.put(make_page("a"))
        self.clock.advance(599.5)
        await self.assert_stored(store, "a")
        self.clock.advance(0.5)
        await self.assert_miss(store, "a", MissReason.EXPIRED)
        assert await store.drop("a") is False
        assert await store.tokens() == []

    async def test_what_expired_is_not_dropped(self) -> None:
        store = await self.filled("a")
        self.clock.advance(600)
        assert await store.drop("a") is False
        await self.assert_miss(store, "a", MissReason.EXPIRED)

    async def test_its_age_counts_from_the_put(self) -> None:
        store = self.opened()
        await store.put(make_page("a", captured_at=START - 3600))
        await self.assert_stored(store, "a")

    async def test_a_sweep_tells_how_many_went(self) -> None:
        store = await self.filled("a", "b", "c")
        await store.sent("c")
        assert await store.sweep() == 0
        self.clock.advance(60)
        assert await store.sweep() == 1
        self.clock.advance(598 - 61)
        assert await store.sweep() == 1
        await self.assert_stored(store, "b")
        await self.assert_miss(store, "a", MissReason.EXPIRED)
        await self.assert_miss(store, "c", MissReason.PULLED)

    async def test_the_grace_begins_when_it_was_sent_first(self) -> None:
        store = await self.filled("a")
        self.clock.advance(100)
        await store.sent("a")
        self.clock.advance(40)
        await store.sent("a")
        self.clock.advance(19.5)
        await self.assert_stored(store, "a")
        self.clock.advance(0.5)
        await self.assert_miss(store, "a", MissReason.PULLED)
        assert await store.drop("a") is True

    async def test_a_copy_that_is_taken_again_was_not_received(self) -> None:
        store = await self.filled("a", "b", max_pages=2)
        await store.take("a")
        await store.sent("a")
        self.clock.advance(59)
        assert isinstance(await store.take("a"), Page)
        self.clock.advance(100)
        assert await store.sweep() == 0
        await store.peek("a")
        await store.sent("a")
        self.clock.advance(59)
        await self.assert_stored_and_not_taken(store, "a", "b")
        await store.sent("b")
        await store.take("b")
        await store.put(make_page("c"))
        await self.assert_miss(store, "a", MissReason.EVICTED)

    async def assert_stored_and_not_taken(self, store: Any, *tokens: str) -> None:
        assert [token for token in tokens if not isinstance(await store.peek(token), Page)] == []

    async def test_the_url_alone(self) -> None:
        store = await self.filled("a", "b", "c")
        await store.drop("b")
        await store.mark("d", Miss(MissReason.UNKNOWN, "grew too large"))
        url = make_page("a").url
        assert [await store.url_of(token) for token in "abcde"] == [url, "", url, "", ""]
        await store.sent("a")
        self.clock.advance(60)
        assert await store.url_of("a") == ""
        self.clock.advance(540)
        assert await store.url_of("c") == ""

    async def test_a_sent_copy_lives_no_longer_than_others(self) -> None:
        store = self.opened()
        await store.put(make_page("a"))
        self.clock.advance(590)
        await store.sent("a")
        self.clock.advance(10)
        await self.assert_miss(store, "a", MissReason.EXPIRED)

    async def test_what_another_node_kept_is_as_old_as_it_was_there(self) -> None:
        store = await self.filled("a")
        await store.put(evolve(make_page("b"), kept_at=self.clock.now - 500))
        await store.put(evolve(make_page("c"), kept_at=self.clock.now + 500))
        self.clock.advance(99)
        assert await store.sweep() == 0
        assert sorted(await store.tokens()) == ["a", "b", "c"]
        self.clock.advance(1)
        await self.assert_miss(store, "b", MissReason.EXPIRED)
        await store.put(evolve(make_page("d"), kept_at=self.clock.now - 590))
        self.clock.advance(10)
        assert await store.sweep() == 1
        await self.assert_stored(store, "a", "c")
        self.clock.advance(489)
        await self.assert_miss(store, "a", MissReason.EXPIRED)
        await self.assert_stored(store, "c")
        self.clock.advance(1)
        await self.assert_miss(store, "c", MissReason.EXPIRED)

    async def test_a_drop_pulls_at_once(self) -> None:
        store = await self.filled("a", "b")
        assert await store.drop("a") is True
        await self.assert_miss(store, "a", MissReason.PULLED)
        assert await store.drop("a") is True
        await self.assert_stored(store, "b")

    async def test_without_delete_after_pull_it_stays(self) -> None:
        store = self.opened(delete_after_pull=False)
        await store.put(make_page("a"))
        await store.sent("a")
        assert await store.drop("a") is True
        self.clock.advance(599)
        await self.assert_stored(store, "a")
        self.clock.advance(1)
        await self.assert_miss(store, "a", MissReason.EXPIRED)

    async def test_the_oldest_makes_room(self) -> None:
        store = await self.filled("a", "b", "c", "d", max_pages=3)
        await self.assert_stored(store, "b", "c", "d")
        await self.assert_miss(store, "a", MissReason.EVICTED)
        assert await store.drop("a") is False

    async def test_a_sent_copy_makes_room_first(self) -> None:
        store = await self.filled("a", "b", "c", max_pages=3)
        await store.sent("b")
        await store.put(make_page("d"))
        await self.assert_miss(store, "b", MissReason.EVICTED)
        await self.assert_stored(store, "a", "c", "d")

    async def test_of_the_sent_the_first_sent_goes_first(self) -> None:
        store = await self.filled("a", "b", "c", max_pages=3)
        for token in "cab":
            await store.sent(token)
            self.clock.advance(1)
        await store.put(make_page("d"))
        await store.put(make_page("e"))
        await self.assert_stored(store, "b", "d", "e")

    async def test_bytes_are_bounded(self) -> None:
        size = 1000 - self.overhead
        store = self.opened(max_bytes=3000)
        for token in "abc":
            await store.put(make_page(token, bytes(size)))
        await self.assert_stored(store, "a", "b", "c")
        await store.put(make_page("d", b"x" * (1001 - self.overhead)))
        await self.assert_stored(store, "c", "d")
        await self.assert_miss(store, "b", MissReason.EVICTED)
        assert (await store.stats())["bytes"] == 2001

    async def test_a_page_larger_than_the_store_is_refused(self) -> None:
        store = self.opened(max_bytes=3000)
        await store.put(make_page("a"))
        await self.assert_fails(store.put(make_page("b", bytes(3001))))
        await self.assert_stored(store, "a")
        await self.assert_miss(store, "b", MissReason.UNKNOWN)
        await store.put(make_page("c", bytes(3000 - self.overhead)))
        await self.assert_stored(store, "c")

    async def test_what_is_over_anyway_is_not_evicted(self) -> None:
        store = await self.filled("a", "b", max_pages=2)
        self.clock.advance(598)
        await store.put(make_page("c"))
        await self.assert_miss(store, "a", MissReason.EXPIRED)
        await self.assert_stored(store, "b", "c")

    async def test_the_same_token_again_replaces(self) -> None:
        store = await self.filled("a", "b")
        await store.sent("a")
        again = make_page("a", b"other")
        await store.put(again)
        assert await store.peek("a") == again
        await self.assert_stored(store, "b", "a")
        self.clock.advance(100)
        await self.assert_stored(store, "b", "a")
        stats = await store.stats()
        assert (stats["pages"], stats["evicted"], stats["pulled"]) == (2, 0, 0)

    async def test_a_copy_that_comes_back_is_no_longer_missed(self) -> None:
        store = await self.filled("a")
        await store.drop("a")
        await store.put(make_page("a"))
        await self.assert_stored(store, "a")

    async def test_a_mark_is_reported_as_it_was_made(self) -> None:
        store = await self.filled("a")
        miss = Miss(MissReason.EVICTED, "grew too large", "n2")
        assert await store.mark("never", miss) is None
        assert await store.peek("never") == miss
        assert await store.take("never") == miss
        await store.mark("a", miss)
        await self.assert_stored(store, "a")

    async def test_tombstones_are_bounded(self) -> None:
        store = self.opened(max_pages=5)
        for number in range(12):
            await store.mark(f"t{number}", Miss(MissReason.EXPIRED))
        kept = [number for number in range(12) if await store.peek(f"t{number}") != Miss(MissReason.UNKNOWN)]
        assert len(kept) <= 5
        assert kept == list(range(12 - len(kept), 12))
        assert len(kept) >= 1

    async def test_stats_tell_what_happened(self) -> None:
        store = await self.filled(*"abcdef", max_pages=5)
        await store.drop("b")
        await store.sent("c")
        self.clock.advance(60)
        await store.sweep()
        self.clock.advance(540 - 2)
        await store.sweep()
        stats = await store.stats()
        size = len(make_page("f").body) + self.overhead
        assert {**stats} == {"pages": 1, "bytes": size, "put": 6, "evicted": 1, "expired": 2, "pulled": 2}

    async def test_nothing_works_after_the_close(self) -> None:
        store = await self.filled("a")
        assert await store.close() is None
        assert await store.close() is None
        for call in (
            lambda: store.put(make_page("b")),
            lambda: store.peek("a"),
            lambda: store.take("a"),
            lambda: store.sent("a"),
            lambda: store.drop("a"),
            lambda: store.mark("a", Miss(MissReason.EXPIRED)),
            store.sweep,
            store.tokens,
            store.stats,
        ):
            await self.assert_fails(call())


class FailingStore(DelegatingStore):
    """Fails everything but ``close`` with ``StoreError`` while ``failing`` is set, and is the store inside else.

    :ivar failing: may be changed at any time; set at first.
    """

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.failing = True

    def delegate(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Fail, or make the call."""
        return fail(StoreError("down on purpose")) if self.failing else call()

    def close(self) -> Deferred[None]:
        """Close the inner store, without failure or delay."""
        return self.inner.close()


class SlowStore(DelegatingStore):
    """The store inside, whose answers (failures too) come late; ``close`` does not wait.

    :param reactor: the source of delays; a ``task.Clock`` in tests.
    :param seconds: how late.
    """

    def __init__(self, inner: Any, reactor: IReactorTime, seconds: float) -> None:
        super().__init__(inner)
        self._reactor = reactor
        self._seconds = seconds

    def delegate(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        """Make the call, and answer late."""
        late: Deferred[T] = Deferred()
        call().addBoth(lambda result: self._reactor.callLater(self._seconds, late.callback, result))
        return late

    def close(self) -> Deferred[None]:
        """Close the inner store, without failure or delay."""
        return self.inner.close()
