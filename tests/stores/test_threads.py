from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from lbcompanion.errors import StoreError
from lbcompanion.stores.threads import BATCH, BatchQueue, SingleThread
from tests.support.open_store import at_once
from tests.support.paused_thread import PausedThread, T


class TestBatchQueue(SynchronousTestCase):
    def setUp(self) -> None:
        self.thread = PausedThread()
        self.runs: list[list[int]] = []
        self.queue: BatchQueue[int] = BatchQueue(self.run_all, self.thread)

    def run_all(self, requests: Sequence[int]) -> list[object]:
        self.runs.append(list(requests))
        return [StoreError("odd") if request % 2 else request * 10 for request in requests]

    def test_what_waits_shares_a_run(self) -> None:
        answers = [self.queue.submit(number) for number in (2, 4, 5, 6)]
        self.thread.run_next()
        assert self.successResultOf(answers[0]) == 20
        self.assertNoResult(answers[1])
        self.thread.run_next()
        assert self.runs == [[2], [4, 5, 6]]
        assert self.successResultOf(answers[1]) == 40
        self.failureResultOf(answers[2], StoreError)
        assert self.successResultOf(answers[3]) == 60
        assert self.thread.pending == []

    def test_a_run_is_bounded(self) -> None:
        answers = [self.queue.submit(2) for _ in range(BATCH + 5)]
        for _ in range(3):
            self.thread.run_next()
        assert [len(run) for run in self.runs] == [1, BATCH, 4]
        assert {self.successResultOf(answer) for answer in answers} == {20}

    def test_requests_while_results_are_delivered(self) -> None:
        again: list[Deferred[Any]] = []
        for _ in range(2):
            self.queue.submit(2).addCallback(lambda _: again.append(self.queue.submit(4)))
        self.thread.run_next()
        self.thread.run_next()
        self.thread.run_next()
        assert self.runs == [[2], [2, 4], [4]]
        assert [self.successResultOf(answer) for answer in again] == [40, 40]

    def test_a_thread_that_fails_fails_all(self) -> None:
        answers = [self.queue.submit(2) for _ in range(3)]
        _, done = self.thread.pending.pop(0)
        done.errback(RuntimeError("gone"))
        self.failureResultOf(answers[0], StoreError)
        self.thread.run_next()
        assert self.successResultOf(answers[2]) == 20

    def test_a_thread_that_takes_nothing_fails_all(self) -> None:
        def refuse(work: Callable[[], T], /) -> Deferred[T]:
            raise RuntimeError("no threads")

        queue: BatchQueue[int] = BatchQueue(self.run_all, refuse)
        self.failureResultOf(queue.submit(2), StoreError)
        self.failureResultOf(queue.submit(2), StoreError)
        self.failureResultOf(queue.close(lambda: None), StoreError)

    def test_one_who_no_longer_waits_harms_nobody(self) -> None:
        first, second = self.queue.submit(2), self.queue.submit(4)
        first.cancel()
        second.cancel()
        self.failureResultOf(first, CancelledError)
        self.failureResultOf(second, CancelledError)
        third = self.queue.submit(6)
        self.thread.run_next()
        self.thread.run_next()
        assert self.successResultOf(third) == 60

    def test_the_close_comes_last(self) -> None:
        asked = [self.queue.submit(2), self.queue.submit(4)]
        closed = self.queue.close(lambda: self.runs.append([]))
        self.failureResultOf(self.queue.submit(6), StoreError)
        self.thread.run_next()
        self.assertNoResult(closed)
        self.thread.run_next()
        self.thread.run_next()
        self.successResultOf(closed)
        assert [self.successResultOf(answer) for answer in asked] == [20, 40]
        assert self.runs == [[2], [4], []]

    def test_many_at_once_without_a_thread(self) -> None:
        queue: BatchQueue[int] = BatchQueue(self.run_all, at_once)
        assert [self.successResultOf(queue.submit(2)) for _ in range(3)] == [20, 20, 20]


class TestOneThread(TestCase):
    async def test_work_is_done_in_one_other_thread(self) -> None:
        thread = SingleThread(reactor)
        self.addCleanup(thread.stop)
        threads = [await thread(threading.get_ident) for _ in range(3)]
        assert len(set(threads)) == 1
        assert threads[0] != threading.get_ident()

    async def test_an_exception_comes_back(self) -> None:
        thread = SingleThread(reactor)
        self.addCleanup(thread.stop)
        with pytest.raises(ZeroDivisionError):
            await thread(lambda: 1 // 0)

    async def test_after_the_stop_it_fails(self) -> None:
        thread = SingleThread(reactor)
        await thread(lambda: None)
        thread.stop()
        thread.stop()
        with pytest.raises(StoreError):
            await thread(lambda: None)

    def test_unused_it_leaves_nothing_behind(self) -> None:
        SingleThread(reactor).stop()
