"""The body of a request to a webhook."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lbcompanion.crawler.queue.outcomes import Position
from lbcompanion.crawler.webhooks.sender import Batch, WriteBody


def body_writer(recording: Callable[[Any], dict[str, Any]]) -> WriteBody:
    """Return what writes the bodies.

    :param recording: returns a recording of the API from its row.
    """

    def write(name: str, batch: Batch) -> bytes:
        missed = None
        if batch.missed:
            missed = {"after": str(batch.state.position), "continues_after": str(batch.position)}
        queue = batch.position.queue
        events = [{"id": str(Position(queue, number)), "recording": recording(row)} for number, row in batch.rows]
        body = {"webhook": name, "events": events, "missed": missed}
        return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")

    return write
