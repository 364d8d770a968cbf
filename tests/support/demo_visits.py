"""Visits of the demo, one good and one whose page is lost."""

from __future__ import annotations

from lbcompanion.demo.crawler_api import VisitCheck
from lbcompanion.demo.served_pages import ServedPage
from lbcompanion.demo.visitors import Visit

VISIT = Visit("7", "anna", "GET", "/orders", 200, "TOKEN", "aa", 204)
SERVED = ServedPage("7", "n2", "GET", "/orders", 200, "aa", 1234)
RECORDING = {
    "token": "TOKEN",
    "url": "http://x/orders",
    "origin_node": "n2",
    "answered_by": "n2",
    "route": "own",
    "outcome": "archived",
    "reason": "",
    "sha256": "aa",
    "bytes": 1234,
    "attempts": [{"route": "recorded", "node": "n1", "result": "misrouted", "ms": 1.0}, {"result": "archived"}],
}
GOOD = VisitCheck(VISIT, SERVED, RECORDING, "aa")
LOST = VisitCheck(VISIT, SERVED, {**RECORDING, "outcome": "lost", "reason": "gone [away]"})
