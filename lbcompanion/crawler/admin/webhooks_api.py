"""The states of the webhooks: ``/api/webhooks``."""

from __future__ import annotations

from lbcompanion.crawler.admin.endpoint import Call, Endpoint, Response, json_response
from lbcompanion.crawler.admin.endpoint_doc import INTEGER, NUMBER, TEXT, TIME, Doc, array, obj, or_null
from lbcompanion.crawler.webhooks.senders import Webhooks
from lbcompanion.model import to_rfc3339

_WEBHOOK = obj(
    name=TEXT,
    host=TEXT,
    position=TEXT,
    waiting=INTEGER,
    failures=INTEGER,
    error=or_null(TEXT),
    succeeded_at=or_null(TIME),
    seconds_to_next=NUMBER,
)
_DOC = Doc("The webhooks, and up to which outcome each of them has got them.", answer=obj(webhooks=array(_WEBHOOK)))


class WebhooksApi:
    """Shows the webhooks of the crawler's settings."""

    def __init__(self, webhooks: Webhooks) -> None:
        self._webhooks = webhooks

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [Endpoint("/api/webhooks", self._answer, doc=_DOC)]

    async def _answer(self, _call: Call) -> Response:
        found = [
            {
                "name": each.name,
                "host": each.host,
                "position": str(each.state.position),
                "waiting": each.waiting,
                "failures": each.state.failures,
                "error": each.state.error or None,
                "succeeded_at": None if each.state.succeeded_at is None else to_rfc3339(each.state.succeeded_at),
                "seconds_to_next": round(each.state.wait_seconds, 1),
            }
            for each in await self._webhooks.reports()
        ]
        return json_response({"webhooks": found})
