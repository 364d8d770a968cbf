from __future__ import annotations

from typing import Any

from lbcompanion.crawler.admin.webhooks_api import WebhooksApi
from lbcompanion.crawler.queue.outcomes import Position
from lbcompanion.crawler.queue.webhook_table import WebhookState
from lbcompanion.crawler.webhooks.senders import WebhookReport
from tests.support.crawler_api import ApiCase


class Reported:
    async def reports(self) -> list[WebhookReport]:
        position = Position("0a0a0a0a", 5)
        return [
            WebhookReport("one", "a.test", WebhookState(position), 0),
            WebhookReport("two", "b.test", WebhookState(position, 2, 3.14159, "status 500", 0.0), 7),
        ]


class WebhooksApiTests(ApiCase):
    def test_the_states(self) -> None:
        reported: Any = Reported()
        self.use(webhooks=WebhooksApi(reported))
        one, two = self.json("/api/webhooks")["webhooks"]
        common = {"position": "0a0a0a0a-5"}
        none = {"error": None, "succeeded_at": None, "failures": 0, "seconds_to_next": 0, "waiting": 0}
        failing = {"error": "status 500", "succeeded_at": "1970-01-01T00:00:00.000000Z", "failures": 2}
        self.assertEqual(one, {"name": "one", "host": "a.test", **common, **none})
        self.assertEqual(
            two, {"name": "two", "host": "b.test", **common, **failing, "seconds_to_next": 3.1, "waiting": 7}
        )
