"""The callers that may see the debug page, and the values that it hides from them."""

from __future__ import annotations

import json
from typing import Any

from lbcompanion.settings import CaptureTable, FetchTable, NodeCrawlerTable, StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import FailingStore
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import InMemoryNode
from tests.support.own_answers import refused, with_page


def debug(companion: InMemoryNode, query: str) -> Any:
    return companion.debug(query).json


def test_debug_is_for_allowed_callers() -> None:
    companion, token = with_page()
    refused(companion, companion.get(b"/_lbc/debug"))
    told = debug(companion, "")
    assert told["node"] == "n1"
    assert told["caller"] == {"allowed": True, "address": "192.0.2.7", "key": "farm"}
    assert debug(companion, f"?token={token}")["copy"]["url"] == "http://www.example.com/shop?q=1"
    assert debug(companion, f"?token={token}x")["copy"]["known"] is False
    assert debug(companion, f"?token={companion.tokens.mint()}")["copy"]["why"] == "unknown"
    assert companion.fetch(token).status == 200


def test_debug_tells_what_would_be_decided() -> None:
    companion = InMemoryNode(capture=CaptureTable(exclude=("/private/**",)))
    for query, captured, reason in (
        ("?url=/private/x", False, "path excluded"),
        ("?url=http://a/b%3Fc", True, "its answer decides"),
        ("?url=/&cookie=WRUID%3D0", False, "visitor is not recorded"),
        ("?url=/&method=PUT", False, "method"),
    ):
        told = debug(companion, query)["decision"]
        assert told["captured"] is captured
        assert told["reason"].startswith(reason)


def test_debug_shows_no_secret() -> None:
    companion, token = with_page(fetch=FetchTable(), crawler=NodeCrawlerTable(intake="http://10.0.0.9:9200"))
    said = companion.debug(f"?token={token}&url=/").body
    assert SECRET not in said
    assert token.encode() not in said
    assert json.loads(said)["settings"]["node"]["secret"] == "(hidden)"
    assert json.loads(said)["settings"]["store"]["url"] == "(hidden)"


def test_debug_survives_a_failing_store() -> None:
    companion = InMemoryNode(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    assert debug(companion, f"?token={companion.tokens.mint()}")["copy"]["why"] == "down on purpose"


def test_a_signature_counts_for_one_debug_request_with_its_query() -> None:
    """Otherwise a client that sees one signed request could send any request to the application."""
    companion, token = with_page()
    target = "/_lbc/debug?url=/a&cookie=a%3Db"
    fields = companion.signed("GET", target)
    refused(companion, companion.get(b"/_lbc/debug?url=/admin&cookie=a%3Db", *fields))
    refused(companion, companion.get(b"/_lbc/debug", *fields))
    refused(companion, companion.get(f"{target}&compare=1".encode(), *fields))
    refused(companion, companion.get(target.encode(), *companion.signed("GET", "/_lbc/debug")))
    assert companion.get(target.encode(), *fields).status == 200
    companion.clock.advance(299)
    refused(companion, companion.get(target.encode(), *fields))
    assert companion.get(target.encode(), *companion.signed("GET", target, nonce="another")).status == 200
    # A copy may be requested again with the same signature.
    assert companion.fetch(token).status == companion.fetch(token).status == 200
