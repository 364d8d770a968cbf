from __future__ import annotations

import threading

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lbcompanion.crawler.threads import NotRunning, Threads


class ThreadsTests(TestCase):
    def test_calls_run_in_a_thread_from_start_to_stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._start_and_stop())

    async def _start_and_stop(self) -> None:
        threads = Threads(reactor, "of the test")
        for _ in range(2):
            self.assertFalse(threads.are_running)
            with pytest.raises(NotRunning):
                threads(len, "ab")
            threads.start()
            self.assertTrue(threads.are_running)
            name = (await threads(threading.current_thread)).name
            self.assertIn("of the test", name)
            self.assertEqual(await threads(len, "ab"), 2)
            threads.stop()
            threads.stop()
        self.assertFalse([each for each in threading.enumerate() if "of the test" in each.name])
