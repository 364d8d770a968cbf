from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.queue.outcomes import Extent, Position
from lbcompanion.crawler.webhooks.sender import count_waiting
from lbcompanion.crawler.webhooks.senders import Webhooks

QUEUE = "0a0a0a0a"


class WebhooksTests(SynchronousTestCase):
    def test_without_webhooks_nothing_is_done(self) -> None:
        nothing: Any = None
        webhooks = Webhooks({}, nothing, nothing, nothing)
        self.successResultOf(Deferred.fromCoroutine(webhooks.start()))
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(webhooks.reports())), [])
        self.successResultOf(webhooks.stop())

    def test_how_many_outcomes_wait(self) -> None:
        extent = Extent(QUEUE, 10, 30)
        for position, expected in (
            (Position(QUEUE, 30), 0),
            (Position(QUEUE, 25), 5),
            (Position(QUEUE, 3), 20),
            (Position(QUEUE, 99), 0),
            (Position("0b0b0b0b", 29), 20),
        ):
            self.assertEqual(count_waiting(position, extent), expected, position)
