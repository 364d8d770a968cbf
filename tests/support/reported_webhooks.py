"""The states of two webhooks, for the API."""

from __future__ import annotations

from lbcompanion.crawler.queue.outcomes import Position
from lbcompanion.crawler.queue.webhook_table import WebhookState
from lbcompanion.crawler.webhooks.senders import WebhookReport


class ReportedWebhooks:
    """One that accepts all, and one that fails."""

    async def reports(self) -> list[WebhookReport]:
        position = Position("0a0a0a0a", 5)
        return [
            WebhookReport("one", "a.test", WebhookState(position), 0),
            WebhookReport("two", "b.test", WebhookState(position, 2, 3.14159, "status 500", 0.0), 7),
        ]
