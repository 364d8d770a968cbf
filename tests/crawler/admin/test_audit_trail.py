from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin.audit_trail import AuditTrail, Subject
from lbcompanion.crawler.admin.endpoint import Caller, HttpError
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.audit import AuditLine
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.threads import NotRunning
from tests.support.simulated_farm import immediately

CALLER = Caller("ann", Role.VIEWER, "token", "10.0.0.1")


class TrailTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.log, self.health = Mock(), Health()
        self.trail = AuditTrail(self.log, defer=immediately, health=self.health, now=lambda: 5.0)

    def result(self, coroutine: Any) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def failure(self, coroutine: Any) -> HttpError:
        found = self.failureResultOf(Deferred.fromCoroutine(coroutine), HttpError).value
        assert isinstance(found, HttpError)
        return found

    def test_a_line(self) -> None:
        self.log.write.return_value = 7
        self.assertEqual(self.result(self.trail.write(CALLER, "view page", about=Subject("t1"))), 7)
        line = AuditLine("ann", "token", "10.0.0.1", "view page", "allowed", "t1", "", "")
        self.log.write.assert_called_once_with(line, 5.0)

    def test_what_is_not_written_is_refused_and_reported(self) -> None:
        for error in (BacklogError("full"), NotRunning("stopped")):
            self.log.write.side_effect = error
            self.assertEqual(self.failure(self.trail.write(CALLER, "view page")).status, 503)
            self.assertIn("the audit log cannot be written", self.health.lines()[0])
        self.log.write.side_effect = None
        self.result(self.trail.write(CALLER, "view page"))
        self.assertEqual(self.health.lines(), [])
        self.log.describe.side_effect = BacklogError("full")
        self.assertEqual(self.failure(self.trail.describe(7, "by url")).status, 503)


def test_a_caller() -> None:
    assert not CALLER.is_operator
    with pytest.raises(AttributeError):
        CALLER.role = Role.OPERATOR  # type: ignore[misc]
