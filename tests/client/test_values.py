from __future__ import annotations

from typing import Any

import jsonschema
from attrs import fields

from lbcompanion.client.values import Erased, FilesOfPage, Recording, RemovedParts, Version, WarcPlace
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


def test_each_member_of_a_recording_has_a_typed_value() -> None:
    given = {
        **GIVEN,
        "removed": {"elements": 2, "blocks": 1, "documents": 0, "a_later_kind": 9},
        "requisites": {"wanted": 3, "archived": 2, "missing": [{"url": "http://s/a", "reason": "status 404"}]},
        "warc": {"file": "f", "offset": 7, "crawler": None},
        "answered_by": "n2",
    }
    read = Recording.read(given)
    members = {"node" if name == "origin_node" else name for name in COMPONENTS["Recording"]["properties"]}
    assert members == {each.name for each in fields(Recording)} - {"raw"}
    assert (read.removed, read.answered_by, read.by) == (RemovedParts(elements=2, blocks=1), "n2", "x")
    assert read.requisites == FilesOfPage(3, 2, {"http://s/a": "status 404"})
    assert read.warc == WarcPlace("f", 7, None)
    assert read.noticed_at == read.viewed_at
    whole = Recording.read({**GIVEN, "removed": {"elements": 0, "blocks": 0, "documents": 0}})
    assert whole.removed == RemovedParts()
    assert not whole.removed


def test_an_earlier_crawler_sends_fewer_members() -> None:
    later = ("removed", "requisites", "warc", "answered_by", "by", "noticed_at", "title", "visitor")
    read = Recording.read({name: value for name, value in GIVEN.items() if name not in later})
    assert (read.removed, read.requisites, read.warc, read.noticed_at) == (None, None, None, None)


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
