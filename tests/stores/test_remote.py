from __future__ import annotations

from collections.abc import Sequence

import pytest
from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.errors import StoreError, StoreUnreachable
from lbcompanion.settings import StoreTable
from lbcompanion.stores.remote import WAITING_BYTES, BatchedStore, RemoteBackend, Request
from lbcompanion.testing.stores import ManualWallClock, make_page
from tests.support.open_store import at_once
from tests.support.paused_thread import PausedThread


class Script(RemoteBackend):
    """Does as the test wrote it down: ``works``, or ``breaks``, one word for each attempt, then works."""

    def __init__(self, *words: str) -> None:
        super().__init__()
        self.words = list(words)
        self.attempts = 0
        self.connected = False
        self.now = 100.0
        self.monotonic = lambda: self.now

    @property
    def is_open(self) -> bool:
        return self.connected

    def attempt(self, requests: Sequence[Request]) -> list[object]:
        self.attempts += 1
        if self.words and self.words.pop(0) == "breaks":
            raise StoreUnreachable(f"broke at attempt {self.attempts}")
        self.connected = True
        return [self.attempts for _ in requests]

    def disconnect(self) -> None:
        self.connected = False


class TestConnections(SynchronousTestCase):
    def opened(self, backend: Script) -> BatchedStore:
        return BatchedStore(backend, StoreTable(), ManualWallClock(), at_once)

    def test_one_that_was_closed_meanwhile_is_made_again(self) -> None:
        backend = Script("works", "breaks", "works")
        store = self.opened(backend)
        assert self.successResultOf(store.sweep()) == 1
        assert self.successResultOf(store.sweep()) == 3

    def test_a_fresh_one_that_breaks_is_not_tried_again_at_once(self) -> None:
        backend = Script("breaks", "works")
        store = self.opened(backend)
        self.failureResultOf(store.sweep(), StoreUnreachable)
        assert backend.attempts == 1

    def test_what_cannot_be_reached_is_left_alone_for_a_while(self) -> None:
        backend = Script("works", "breaks", "breaks", "works")
        store = self.opened(backend)
        self.successResultOf(store.sweep())
        for _ in range(5):
            said = self.failureResultOf(store.sweep(), StoreUnreachable).value
            assert str(said) == "broke at attempt 3"
        backend.now += 0.99
        self.failureResultOf(store.sweep(), StoreUnreachable)
        assert not backend.is_open
        backend.now += 0.01
        assert self.successResultOf(store.sweep()) == 4

    def test_it_breaks_again_after_the_rest(self) -> None:
        backend = Script("breaks", "breaks", "works")
        store = self.opened(backend)
        self.failureResultOf(store.sweep(), StoreUnreachable)
        backend.now += 1
        self.failureResultOf(store.sweep(), StoreUnreachable)
        backend.now += 1
        assert self.successResultOf(store.sweep()) == 3


class TestWaiting(SynchronousTestCase):
    @pytest.mark.slow
    def test_a_copy_that_nobody_waits_for_takes_its_room_all_the_same(self) -> None:
        thread = PausedThread()
        store = BatchedStore(Script(), StoreTable(max_bytes=WAITING_BYTES * 2), ManualWallClock(), thread)
        page = make_page("a", bytes(WAITING_BYTES))
        putting = store.put(page)
        putting.cancel()
        self.failureResultOf(putting, CancelledError)
        assert "too slow" in str(self.failureResultOf(store.put(make_page("b")), StoreError).value)
        thread.run_next()
        kept = store.put(make_page("b"))
        thread.run_next()
        self.successResultOf(kept)
