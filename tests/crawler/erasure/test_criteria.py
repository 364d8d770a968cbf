"""Criteria as texts."""

from __future__ import annotations

from typing import Any

import pytest

from lbcompanion.crawler.erasure.criteria import (
    BadCriteria,
    dump_entry,
    dump_matches,
    dump_result,
    read_selection,
)
from lbcompanion.crawler.erasure.eraser import Result
from lbcompanion.crawler.queue.erasures import Matches
from lbcompanion.protocol.secrets import FarmSecret
from lbcompanion.protocol.visitors import visitor_pseudonyms

SECRET = FarmSecret(b"s" * 32, [b"t" * 32])


def test_texts_and_lists_are_read() -> None:
    selection = read_selection({"token": "t1", "url": ["http://a/b*"], "before": "2026-11-23"}, SECRET)
    assert (selection.tokens, selection.urls, selection.visitors) == (("t1",), ("http://a/b*",), None)
    assert selection.before == 1_795_392_000.0
    assert read_selection({"before": "2026-11-23T00:00:00Z"}, SECRET).before == selection.before
    assert selection.criteria == "token, url, before"


def test_a_visitor_is_read_under_every_secret() -> None:
    assert read_selection({"visitor": ["alice", "bob"]}, SECRET).visitors == (
        *visitor_pseudonyms(SECRET, "alice"),
        *visitor_pseudonyms(SECRET, "bob"),
    )
    assert len(visitor_pseudonyms(SECRET, "alice")) == 2


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"token": []},
        {"token": ""},
        {"token": 5},
        {"token": "a b"},
        {"url": "/a"},
        {"visitor": "1"},
        {"url": "http://a/\x00"},
        {"url": ["http://a/", "http://a/\ud800"]},
        {"visitor": "\udc80"},
        {"visitor": "alice\n"},
        {"before": "yesterday"},
        {"before": 5},
        {"befor": "2026-11-23", "token": "t"},
        {"token": ["t"] * 1000},
    ],
)
def test_what_cannot_be_read_is_refused_without_quoting_it(given: dict[str, Any]) -> None:
    with pytest.raises(BadCriteria) as caught:
        read_selection(given, SECRET)
    assert not any(str(value) in str(caught.value) for value in given.values() if value in ("a b", "yesterday"))


def test_results_are_objects() -> None:
    assert dump_result(Result(recordings=2, records=5))["records"] == 5
    assert dump_matches(Matches(3, 1, 2)) == {"dry_run": True, "recordings": 3, "archived": 1, "file_records": 2}
    assert dump_entry({"id": 1, "at": 0.0, "finished_at": None, "erased_by": "api"}) == {
        "id": 1,
        "at": "1970-01-01T00:00:00.000000Z",
        "finished_at": None,
        "by": "api",
    }
