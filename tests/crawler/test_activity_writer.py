from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.activity import SEEN, Activity, Bucket, Counts
from lbcompanion.crawler.activity_writer import WRITE_SECONDS, ActivityWriter
from lbcompanion.crawler.queue.activity_table import ActivityTable
from lbcompanion.crawler.queue.database import BacklogError, Database, open_engine
from tests.support.simulated_farm import immediately


class ActivityWriterTests(SynchronousTestCase):
    def setUp(self) -> None:
        database = Database(open_engine("sqlite://"))
        database.open()
        self.table, self.activity, self.clock = ActivityTable(database, "one"), Activity(), Clock()
        self.broken = False
        self.writer = ActivityWriter(
            self.activity, self.table, defer=self.defer, reactor=self.clock, now=self.clock.seconds
        )

    def defer(self, call: Any, *arguments: Any) -> Deferred[Any]:
        return fail(BacklogError("away")) if self.broken else immediately(call, *arguments)

    def pages(self) -> int:
        return self.table.read(0, 3600, 60).get(Bucket(0, 60, "n1", SEEN), Counts()).pages

    def test_counts_are_written_regularly_and_at_the_end(self) -> None:
        self.writer.start()
        self.activity.seen("n1", 1.0)
        self.clock.advance(WRITE_SECONDS)
        self.assertEqual(self.pages(), 1)
        self.activity.seen("n1", 2.0)
        self.successResultOf(self.writer.stop())
        self.assertEqual((self.pages(), self.clock.getDelayedCalls()), (2, []))

    def test_counts_outlive_a_database_that_is_away(self) -> None:
        self.writer.start()
        self.activity.seen("n1", 1.0)
        self.broken = True
        self.clock.advance(WRITE_SECONDS)
        self.broken = False
        self.activity.seen("n1", 2.0)
        self.clock.advance(WRITE_SECONDS)
        self.assertEqual(self.pages(), 2)
