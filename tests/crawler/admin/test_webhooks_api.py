from __future__ import annotations

from typing import Any

import pytest

from lbcompanion.crawler.admin.webhooks_api import WebhooksApi
from tests.support.crawler_api import ApiCase
from tests.support.reported_webhooks import ReportedWebhooks


@pytest.mark.slow
class WebhooksApiTests(ApiCase):
    def test_the_states(self) -> None:
        reported: Any = ReportedWebhooks()
        self.use(webhooks=WebhooksApi(reported))
        one, two = self.json("/api/webhooks")["webhooks"]
        common = {"position": "0a0a0a0a-5"}
        none = {"error": None, "succeeded_at": None, "failures": 0, "seconds_to_next": 0, "waiting": 0}
        failing = {"error": "status 500", "succeeded_at": "1970-01-01T00:00:00.000000Z", "failures": 2}
        self.assertEqual(one, {"name": "one", "host": "a.test", **common, **none})
        self.assertEqual(
            two, {"name": "two", "host": "b.test", **common, **failing, "seconds_to_next": 3.1, "waiting": 7}
        )
