from __future__ import annotations

from typing import Any

import jsonschema

from lbcompanion.client.values import Erased, Recording, Version
from lbcompanion.crawler.admin.endpoint_doc import COMPONENTS

TIMES = [f"2026-11-2{day}T21:10:00Z" for day in (1, 2, 3, 4)]
GIVEN: dict[str, Any] = {
    **dict.fromkeys(("token", "site", "url", "origin_node", "by"), "x"),
    **dict.fromkeys(("answered_by", "route", "reason", "sha256", "content_type", "title", "method", "visitor")),
    **dict.fromkeys(("captured_at", "finished_at", "bytes", "status", "outcome", "warc", "requisites", "removed")),
    **{"viewed_at": TIMES[0], "noticed_at": TIMES[0]},
    "attempts": [{"route": "cookie", "node": "n1", "result": "timeout", "ms": 1, "learnt": None}],
}


def test_a_recording_of_the_document_is_read() -> None:
    jsonschema.Draft202012Validator({**COMPONENTS["Recording"], "components": {"schemas": COMPONENTS}}).validate(GIVEN)
    read = Recording.read({**GIVEN, "a_later_member": 1})
    assert (read.outcome, read.captured_at, read.attempts[0].node) == (None, None, "n1")
    assert read.raw["a_later_member"] == 1


def version(first: int, last: int, node: str, count: int) -> Version:
    times = {"first_at": TIMES[first], "last_at": TIMES[last], "first_token": f"t{first}", "last_token": f"t{last}"}
    return Version.read({"sha256": "a", "title": f"{last}", "nodes": [node], "recordings": count, **times})


def test_versions_of_two_pages_of_a_listing() -> None:
    late, early = version(2, 3, "n2", 5), version(0, 1, "n1", 2)
    for whole in (late.with_more(early), early.with_more(late)):
        assert (whole.recordings, whole.nodes, whole.title) == (7, ("n1", "n2"), "3")
        assert (whole.first_token, whole.last_token) == ("t0", "t3")


def test_what_would_be_erased() -> None:
    assert Erased.read({"recordings": 3, "archived": 2, "dry_run": True}).waiting == 0
