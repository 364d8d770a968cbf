from __future__ import annotations

from lbcompanion.crawler.admin.audit_api import audit_line


def test_a_line_as_json() -> None:
    row = {"id": 1, "at": 0.0, "user": "", "how": "open", "address": "", "action": "view page", "result": "allowed"}
    assert audit_line({**row, "token": "t1", "visitor": None, "detail": ""}) == {
        "id": 1,
        "at": "1970-01-01T00:00:00.000000Z",
        "user": None,
        "how": "open",
        "address": None,
        "action": "view page",
        "result": "allowed",
        "token": "t1",
        "visitor": None,
        "detail": None,
    }
