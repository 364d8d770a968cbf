"""Child processes: started, ended by id, and their last words kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lbcompanion.demo.processes import ChildProcess, companion_command

pytestmark = pytest.mark.network


class ChildTests(TestCase):
    def setUp(self):
        self.log = Path(self.mktemp())

    def child(self, code):
        child = ChildProcess("someone", [sys.executable, "-c", code], self.log, reactor)
        child.start()
        self.addCleanup(child.stop)
        return child

    @inlineCallbacks
    def until(self, condition):
        for _ in range(500):
            if condition():
                return
            yield deferLater(reactor, 0.02)
        raise AssertionError("did not happen within 10 s")

    @inlineCallbacks
    def test_it_is_ended_when_asked(self):
        child = self.child("print('here', flush=True); import time; time.sleep(60)")
        yield self.until(lambda: b"here" in self.log.read_bytes())
        yield child.stop()
        assert not child.running
        assert not child.failed

    @inlineCallbacks
    def test_two_may_wait_for_its_end(self):
        child = self.child("import time; time.sleep(60)")
        first, second = child.stop(), child.stop()
        yield first
        yield second
        yield child.stop()

    @inlineCallbacks
    def test_an_early_end_is_a_failure_with_its_last_words(self):
        child = self.child("print('first'); raise SystemExit('no such thing')")
        yield self.until(lambda: child.failed)
        assert "no such thing" in str(child.error())
        assert "someone" in str(child.error())

    @inlineCallbacks
    def test_our_own_command_runs(self):
        child = ChildProcess("help", companion_command("--help"), self.log, reactor)
        child.start()
        yield self.until(lambda: not child.running)
        assert b"demo" in self.log.read_bytes()
