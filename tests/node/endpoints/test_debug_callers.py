"""Who may see the debug page, and what it does not show them."""

from __future__ import annotations

import json
from typing import Any

from lbcompanion.settings import CaptureTable, FetchTable, NodeCrawlerTable, StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import FailingStore
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import Rig
from tests.support.own_answers import refused, with_page


def debug(rig: Rig, query: str) -> Any:
    return rig.get(f"/_lbc/debug{query}".encode(), *rig.signed("GET", "/_lbc/debug")).json


def test_debug_is_for_allowed_callers() -> None:
    rig, token = with_page()
    refused(rig, rig.get(b"/_lbc/debug"))
    told = debug(rig, "")
    assert told["node"] == "n1"
    assert told["caller"] == {"allowed": True, "address": "192.0.2.7", "key": "farm"}
    assert debug(rig, f"?token={token}")["copy"]["url"] == "http://www.example.com/shop?q=1"
    assert debug(rig, f"?token={token}x")["copy"]["known"] is False
    assert debug(rig, f"?token={rig.tokens.mint()}")["copy"]["why"] == "unknown"
    assert rig.fetch(token).status == 200


def test_debug_tells_what_would_be_decided() -> None:
    rig = Rig(capture=CaptureTable(exclude=("/private/**",)))
    for query, captured, reason in (
        ("?url=/private/x", False, "path excluded"),
        ("?url=http://a/b%3Fc", True, "its answer decides"),
        ("?url=/&cookie=WRUID%3D0", False, "visitor is not recorded"),
        ("?url=/&method=PUT", False, "method"),
    ):
        told = debug(rig, query)["decision"]
        assert told["captured"] is captured
        assert told["reason"].startswith(reason)


def test_debug_shows_no_secret() -> None:
    rig, token = with_page(fetch=FetchTable(), crawler=NodeCrawlerTable(intake="http://10.0.0.9:9200"))
    said = rig.get(f"/_lbc/debug?token={token}&url=/".encode(), *rig.signed("GET", "/_lbc/debug")).body
    assert SECRET not in said
    assert token.encode() not in said
    assert json.loads(said)["settings"]["node"]["secret"] == "(hidden)"
    assert json.loads(said)["settings"]["store"]["url"] == "(hidden)"


def test_debug_survives_a_failing_store() -> None:
    rig = Rig(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    assert debug(rig, f"?token={rig.tokens.mint()}")["copy"]["why"] == "down on purpose"
