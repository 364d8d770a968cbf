from __future__ import annotations

import json
from typing import Any

import pytest

from lbcompanion.client import Missed, SignatureRefused, read_webhook
from lbcompanion.protocol.signatures import WEBHOOK_KEY_ID, Signer

SECRET, NOW, NONCE = b"a webhook's own secret", 1e9, "0" * 32
RECORDING = {
    **dict.fromkeys(("title", "method", "status", "route", "outcome", "reason", "captured_at", "finished_at")),
    **{"token": "t", "site": "main", "url": "http://x/", "origin_node": "n1", "viewed_at": "2026-11-23T21:10:00Z"},
    "attempts": [{"route": "cookie", "node": None, "result": "timeout", "ms": 2.5, "learnt": None}],
}
BODY = {"webhook": "shop", "missed": None, "events": [{"id": "0a0a0a0a-7", "recording": RECORDING}]}


def signed(
    body: bytes, url: str = "https://hooks.test/in?a=1", secret: bytes = SECRET, key: str = WEBHOOK_KEY_ID
) -> Any:
    host = url.split("/")[2]
    return [("Host", host), *Signer(secret, key).sign("POST", url, NONCE, NOW, body)]


def read(body: bytes, headers: Any, **more: Any) -> Any:
    given = {"target": "/in?a=1", "now": NOW, **more}
    return read_webhook(SECRET, headers=headers, body=body, **given)


def test_a_request_is_read() -> None:
    body = json.dumps(BODY).encode()
    for headers in (signed(body), dict(signed(body))):
        delivery = read(body, headers)
        assert (delivery.webhook, delivery.missed) == ("shop", None)
        (outcome,) = delivery.outcomes
        assert (outcome.id, outcome.recording.token, outcome.recording.node) == ("0a0a0a0a-7", "t", "n1")
        assert outcome.recording.attempts[0].ms == 2.5
    gap = json.dumps({**BODY, "events": [], "missed": {"after": "x", "continues_after": "0b0b0b0b-3"}}).encode()
    assert read(gap, signed(gap)).missed == Missed("0b0b0b0b-3")


def test_others_are_refused() -> None:
    body = json.dumps(BODY).encode()
    for changed in (
        {"headers": signed(body, secret=b"another secret of somebody")},
        {"headers": signed(body, key="farm")},
        {"headers": signed(body, url="https://other.test/in?a=1"), "host": "hooks.test"},
        {"headers": signed(body), "body": body + b" "},
        {"headers": signed(body), "body": b""},
        {"headers": signed(body), "target": "/in?a=2"},
        {"headers": signed(body), "method": "PUT"},
        {"headers": signed(body), "now": NOW + 301},
        {"headers": [("Host", "hooks.test")]},
        {"headers": []},
    ):
        with pytest.raises(SignatureRefused):
            read(**{"body": body, **changed})


def test_a_proxy_may_replace_the_host_and_the_secret_may_change() -> None:
    body = json.dumps(BODY).encode()
    headers = [("Host", "10.0.0.1:8000"), *signed(body)[1:]]
    assert read(body, headers, host="hooks.test").webhook == "shop"
    new = b"the next secret of the hook"
    assert read(body, signed(body, secret=new), also_accepted=[new]).webhook == "shop"
