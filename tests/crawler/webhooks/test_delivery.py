from __future__ import annotations

import json

from lbcompanion.crawler.queue.outcomes import Position
from lbcompanion.crawler.queue.webhook_table import WebhookState
from lbcompanion.crawler.webhooks.delivery import body_writer
from lbcompanion.crawler.webhooks.sender import Batch

QUEUE = "0a0a0a0a"


def test_the_body_of_a_request() -> None:
    write = body_writer(lambda row: {"title": row})
    state = WebhookState(Position(QUEUE, 3))
    body = write("shop", Batch(state, ((4, "Käse"), (6, "\ud800")), Position(QUEUE, 8)))
    assert "Käse".encode() in body
    assert json.loads(body) == {
        "webhook": "shop",
        "events": [
            {"id": f"{QUEUE}-4", "recording": {"title": "Käse"}},
            {"id": f"{QUEUE}-6", "recording": {"title": "?"}},
        ],
        "missed": None,
    }
    gap = json.loads(write("shop", Batch(state, (), Position("0b0b0b0b", 7), missed=True)))
    assert gap["missed"] == {"after": f"{QUEUE}-3", "continues_after": "0b0b0b0b-7"}
